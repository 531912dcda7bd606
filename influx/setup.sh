#!/bin/bash
#
# The service `setup` of docker-compose.yml: runs init.sh, and says what InfluxDB no longer takes from `.env`.

set -euo pipefail

readonly here="${BASH_SOURCE[0]%/*}"

say() { printf 'tickflux setup: %s\n' "$*"; }

if ! "$BASH" "$here/init.sh"; then
    say 'INFLUX_ORG and INFLUX_BUCKET_NAME are taken at the first start only. Put back in .env what was there then; or go' \
        "over to another bucket of the same organization: docker compose exec influxdb bash -c 'rm /tokens/*.token'; or start" \
        'over, which deletes all data: docker compose --profile practice down -v' >&2
    exit 1
fi

# Signs in as the UI does, with a configuration of its own. What else goes wrong there is not for here.
signs_in() {
    local configs answer
    configs="$(mktemp -d)/configs"
    INFLUX_CONFIGS_PATH="$configs" influx config create --config-name check --host-url "$INFLUX_HOST" --org "$INFLUX_ORG" \
        --username-password "$INFLUX_USERNAME:$INFLUX_PASSWORD" --active >/dev/null || return 0
    ! answer="$(INFLUX_CONFIGS_PATH="$configs" influx org list 2>&1 >/dev/null)" || return 0
    [[ $answer != *': 401 '* ]]
}

if [ -n "${INFLUX_PASSWORD:-}" ] && ! signs_in; then
    say "INFLUX_USERNAME and INFLUX_PASSWORD are taken at the first start only, and $INFLUX_USERNAME has another password." \
        "To change it: docker compose exec influxdb influx user password --name $INFLUX_USERNAME" >&2
fi
