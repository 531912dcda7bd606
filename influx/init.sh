#!/bin/bash
#
# Prepares an InfluxDB 2.x for tickflux: one bucket that keeps 24 hours, and two tokens for it.
#
# It runs by itself in the official image's /docker-entrypoint-initdb.d, and by hand, as often as you like, wherever
# the influx CLI can reach InfluxDB with a token that may manage buckets and tokens (INFLUX_HOST, INFLUX_TOKEN and
# INFLUX_ORG, or the CLI's active configuration). It needs bash, coreutils and the influx CLI, nothing else.
#
#   INFLUX_ORG           organization; else DOCKER_INFLUXDB_INIT_ORG, the CLI's configuration, `tickflux`
#   INFLUX_BUCKET_NAME   bucket; else DOCKER_INFLUXDB_INIT_BUCKET, `ticks`
#   TICKFLUX_TOKEN_DIR   where the token files go (default: tickflux-tokens)
#   TICKFLUX_TOKEN_UID   who owns them when this runs as root (default: 10001, the uid in tickflux's image)
#   TICKFLUX_FORCE=1     shorten the retention of a bucket that keeps more than 24 h; its older data is then deleted
#
# Gives TICKFLUX_TOKEN_DIR/capture.token (reads and writes this bucket) and people.token (reads it), mode 0400.
# A token file that still works stays as it is. InfluxDB 2.9 keeps only hashes of tokens, so one that is lost cannot be
# read back: it is replaced, and the old authorization, found by its description, is deleted. Two machines that
# prepare the same bucket must therefore share the token files.

set -euo pipefail
shopt -s inherit_errexit

readonly retention=24h0m0s shard_group=1h0m0s
readonly bucket="${INFLUX_BUCKET_NAME:-${DOCKER_INFLUXDB_INIT_BUCKET:-ticks}}"
readonly token_dir="${TICKFLUX_TOKEN_DIR:-tickflux-tokens}"
readonly token_uid="${TICKFLUX_TOKEN_UID:-10001}"

# The CLI would read these itself: they change its output, and `bucket update` takes the name as a new name.
unset INFLUX_BUCKET_NAME INFLUX_BUCKET_ID INFLUX_OUTPUT_JSON INFLUX_HIDE_HEADERS

scratch="$(mktemp -d)"
readonly scratch
trap 'rm -rf "$scratch"' EXIT

say() { printf 'tickflux init: %s\n' "$*"; }
die() { printf 'tickflux init: %s\n' "$*" >&2; exit 1; }

# What the CLI said last, as one line.
reason() {
    local text
    text="$(<"$scratch/errors")"
    text="${text#Error: }"
    printf '%s' "${text//$'\n'/ }"
}

# run WHAT ARG…: the influx CLI; when it fails, ends with WHAT could not be done and why.
run() {
    local what="$1"
    shift
    influx "$@" 2>"$scratch/errors" || die "cannot $what: $(reason). Check INFLUX_HOST, INFLUX_TOKEN and INFLUX_ORG" \
        "(or \`influx config\`); the token must be allowed to manage buckets and tokens."
}

# json_value KEY: the first string of that key in the JSON on standard input.
json_value() {
    local text
    text="$(cat)"
    if [[ $text =~ \"$1\":\ *\"([^\"]*)\" ]]; then
        printf '%s' "${BASH_REMATCH[1]}"
    fi
}

choose_org() {
    [ -z "${INFLUX_ORG_ID:-}" ] || { unset INFLUX_ORG; return; } # the CLI takes one or the other
    local org="${INFLUX_ORG:-${DOCKER_INFLUXDB_INIT_ORG:-}}"
    [ -n "$org" ] || org="$(influx config --json 2>/dev/null | json_value org)"
    export INFLUX_ORG="${org:-tickflux}"
}

# Prints "ID RETENTION SHARD_GROUP" of the bucket; nothing when there is none.
find_bucket() {
    local list id name keep shards rest
    list="$(run 'list the buckets' bucket list --hide-headers)"
    while IFS=$'\t' read -r id name keep shards rest; do
        [ "$name" != "$bucket" ] || printf '%s %s %s\n' "$id" "$keep" "$shards"
    done < <(printf '%s\n' "$list" | tr -s '\t')
}

# Is it right to change the bucket's retention from $1? It is when that deletes nothing, when the image made the
# bucket for us a moment ago, or when the user says so.
may_change_retention() {
    [ "$1" != infinite ] && [ "${1%%h*}" -lt "${retention%%h*}" ] && return
    [ "${DOCKER_INFLUXDB_INIT_BUCKET:-}" = "$bucket" ] || [ "${TICKFLUX_FORCE:-}" = 1 ]
}

prepare_bucket() {
    local found keep shards rules=(--retention "$retention" --shard-group-duration "$shard_group")
    found="$(find_bucket)"
    read -r bucket_id keep shards <<<"$found"
    if [ -z "$bucket_id" ]; then
        run "create the bucket $bucket" bucket create --name "$bucket" "${rules[@]}" >/dev/null
        found="$(find_bucket)"
        read -r bucket_id keep shards <<<"$found"
        [ -n "$bucket_id" ] || die "the bucket $bucket was created but is not listed: run this again."
        say "bucket $bucket: created, keeps $keep in shard groups of $shards"
    elif [ "$keep" = "$retention" ] && [ "$shards" = "$shard_group" ]; then
        say "bucket $bucket: keeps $keep in shard groups of $shards, as it should"
    elif [ "$keep" = "$retention" ] || may_change_retention "$keep"; then
        run "correct the bucket $bucket" bucket update --id "$bucket_id" "${rules[@]}" >/dev/null
        say "bucket $bucket: kept $keep in shard groups of $shards, now $retention in $shard_group"
    else
        die "the bucket $bucket keeps $keep, tickflux wants $retention, and shortening it deletes the older data:" \
            "set TICKFLUX_FORCE=1 to do it, or INFLUX_BUCKET_NAME to use another bucket."
    fi
}

# as TOKEN ARG…: the influx CLI with that token, quietly.
as() {
    local token="$1"
    shift
    INFLUX_TOKEN="$token" influx "$@" >/dev/null 2>"$scratch/errors"
}

can_read() { as "$1" query "from(bucketID: \"$bucket_id\") |> range(start: -1s) |> limit(n: 1)"; }

# A comment is a write without points: it needs the right to write and leaves nothing behind.
can_write() { printf '# is this token good?\n' | as "$1" write --bucket-id "$bucket_id" -; }

# works NAME TOKEN: does the token give what this name promises? Ends when InfluxDB answers neither yes nor no.
works() {
    [ -n "$2" ] || return 1 # with an empty one the CLI would use its own
    if can_read "$2" && { [ "$1" != capture ] || can_write "$2"; }; then
        return 0
    fi
    case "$(reason)" in
        *' 401 '* | *' 403 '* | *' 404 '*) return 1 ;;
        *) die "cannot tell whether $token_dir/$1.token still works: $(reason). Nothing was changed; run this again." ;;
    esac
}

# Prints the ids of the authorizations with that description.
find_authorizations() {
    local list id description rest
    list="$(run 'list the tokens' auth list --hide-headers)"
    while IFS=$'\t' read -r id description rest; do
        [ "$description" != "$1" ] || printf '%s\n' "$id"
    done <<<"$list"
}

# store FILE: standard input becomes FILE, whole or not at all, readable by its owner only.
store() {
    local owner=()
    [ "$(id -u)" != 0 ] || owner=(-o "$token_uid")
    if ! { install "${owner[@]}" -m 0400 /dev/stdin "$1.new" && mv -f "$1.new" "$1"; }; then
        die "cannot write $1: make the directory writable, or set TICKFLUX_TOKEN_DIR to another one."
    fi
}

# prepare_token NAME FLAG…: makes sure that NAME.token holds a working token with the rights of FLAG….
prepare_token() {
    local name="$1" file="$token_dir/$1.token" description="tickflux $1 (bucket $bucket)" token='' old ids
    shift
    if [ -e "$file" ]; then
        [ -r "$file" ] || die "cannot read $file: run this as its owner or as root, or remove it to get a new token."
        token="$(<"$file")"
    fi
    if works "$name" "$token"; then
        say "token $file: works, kept"
        return
    fi
    # The old ones go first: whatever stops this script, the next run finds no token file that works and starts over.
    ids="$(find_authorizations "$description")"
    for old in $ids; do
        run "delete the old token $old" auth delete --id "$old" >/dev/null
    done
    token="$(run "create the $name token" auth create --json --description "$description" "$@" | json_value token)"
    works "$name" "$token" || die "the new $name token does not work: $(reason). Look at InfluxDB's log, then run this again."
    printf '%s\n' "$token" | store "$file"
    say "token $file: created"
}

command -v influx >/dev/null || die 'the influx CLI is not on PATH: install influxdb2-cli, or run this in the InfluxDB container.'
[ -d "$token_dir" ] || install -d -m 0755 "$token_dir" || die "cannot create $token_dir: set TICKFLUX_TOKEN_DIR."

bucket_id=''
choose_org
prepare_bucket
prepare_token capture --read-bucket "$bucket_id" --write-bucket "$bucket_id"
prepare_token people --read-bucket "$bucket_id"
