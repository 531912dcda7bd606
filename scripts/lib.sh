# What several scripts share. To be sourced, from anywhere, after `set -euo pipefail`.

shopt -s inherit_errexit

script_name="$(basename "$0")"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tickflux"
influxdb_version=2.9.1 # what is built and tested is what docker-compose.yml runs
# shellcheck disable=SC2034 # used by the scripts that source this
readonly script_name root cache influxdb_version

# Progress goes to standard error: what a script prints on standard output is its answer.
say() { printf '%s: %s\n' "$script_name" "$*" >&2; }

# One line: what, why, what to do.
die() {
    say "$*"
    exit 1
}

# have COMMAND…: are they all on PATH?
have() {
    local name
    for name in "$@"; do
        command -v "$name" >/dev/null || return 1
    done
}

# need COMMAND PACKAGE: the command, installed from Debian's package if it is missing and that is possible.
need() {
    have "$1" || install_package "$2" "$1"
}

# install_package PACKAGE [WHAT]: Debian's package, because WHAT is missing.
install_package() {
    if ! have apt-get || [ "$(id -u)" != 0 ]; then
        die "${2:-$1} is missing and cannot be installed from here: install it (Debian: apt-get install $1)."
    fi
    say "installing $1"
    {
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1" ||
            { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1"; }
    } >&2 || die "apt-get could not install $1: install it by hand, then run this again."
}

# lock NAME: waits until no other process builds NAME. Held until the script ends.
lock() {
    mkdir -p "$cache"
    exec {lock_fd}>"$cache/$1.lock"
    flock --nonblock "$lock_fd" && return
    say "another process is building $1: waiting for it"
    flock "$lock_fd"
}

# Prints a port of 127.0.0.1 that nobody listens on.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 10000))
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { printf '%s\n' "$port"; return; }
    done
    die 'no free port between 20000 and 30000 on 127.0.0.1: close something that listens there.'
}
