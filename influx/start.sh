#!/bin/bash
#
# Starts InfluxDB in the official image; docker-compose.yml runs it in the place of the image's entrypoint.
#
# Before the first start, and whenever the data is lost, it makes a password for the UI at random, unless
# DOCKER_INFLUXDB_INIT_PASSWORD has one. Shown by: docker compose exec influxdb cat /etc/influxdb2/admin-password

set -euo pipefail

# Where the image has them; scripts/stack-test has them elsewhere.
readonly data="${INFLUXD_BOLT_PATH:-/var/lib/influxdb2/influxd.bolt}" entrypoint="${ENTRYPOINT:-/entrypoint.sh}"
readonly config="${INFLUX_CONFIGS_PATH%/*}"

if [ ! -e "$data" ]; then
    # An empty InfluxDB knows no older token, and the image's setup refuses to replace the one that was saved: without
    # this, a first start that failed could never be repeated.
    rm -f "$config/influx-configs" "$config/admin-password"
    if [ -z "${DOCKER_INFLUXDB_INIT_PASSWORD:-}" ]; then
        password="$(head -c 18 /dev/urandom | base64)"
        install -m 0600 /dev/stdin "$config/admin-password" <<<"$password"
        export DOCKER_INFLUXDB_INIT_PASSWORD="$password"
    elif [ "${#DOCKER_INFLUXDB_INIT_PASSWORD}" -lt 8 ] || [ "${#DOCKER_INFLUXDB_INIT_PASSWORD}" -gt 72 ]; then
        echo 'tickflux start: INFLUX_PASSWORD must have 8 to 72 characters: give another in .env, or none for one at random.' >&2
        exit 1
    fi
    "$BASH" "${BASH_SOURCE[0]%/*}/init.sh" --check
fi
exec "$entrypoint" influxd
