FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
# A stripped binary has 10 MB instead of 50; who wants a profile builds on the host.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
COPY . .
# docker build --build-arg TICKFLUX_COMMIT="$(git describe --always --dirty)" names it in --version.
ARG TICKFLUX_COMMIT=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && \
    install target/release/tickflux /usr/local/bin/tickflux

FROM debian:12.14-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 10001 tickflux && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tickflux tickflux && \
    install -d -o 10001 -g 10001 -m 0700 /var/lib/tickflux /var/lib/tickflux-archive
COPY --from=build /usr/local/bin/tickflux /usr/local/bin/tickflux

# A volume mounted here starts out with this owner. With a plain `docker run` the SQLite store lands here too.
WORKDIR /var/lib/tickflux
USER 10001:10001
ENTRYPOINT ["tickflux"]
CMD ["capture"]
