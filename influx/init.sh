#!/bin/bash
#
# Prepares an InfluxDB 2.x for tickflux: one bucket that keeps 24 hours, two tokens for it, a dashboard and two checks.
#
# Run it as often as you like, wherever the influx CLI can reach InfluxDB with a token that may manage buckets and
# tokens (INFLUX_HOST, INFLUX_TOKEN and INFLUX_ORG, or the CLI's active configuration); it also runs in the official
# image's /docker-entrypoint-initdb.d. It needs bash, coreutils, flock and the influx CLI, nothing else.
#
#   INFLUX_ORG           organization; else DOCKER_INFLUXDB_INIT_ORG, the CLI's configuration, `tickflux`
#   INFLUX_BUCKET_NAME   bucket; else DOCKER_INFLUXDB_INIT_BUCKET, `ticks`
#   TICKFLUX_TOKEN_DIR   where the token files go (default: tickflux-tokens)
#   TICKFLUX_TOKEN_UID   who owns them when this runs as root (default: 10001, the uid in tickflux's image)
#   TICKFLUX_FLUX_DIR    where the files of flux/ go, with this bucket's name in them (default: nowhere)
#   TICKFLUX_DASHBOARD=0 leave out the dashboard and the checks
#   TICKFLUX_FORCE=1     shorten the retention of a bucket that keeps more than 24 h; its older data is then deleted
#
# `init.sh --check` looks at the settings only, without InfluxDB.
#
# Gives TICKFLUX_TOKEN_DIR/capture.token (reads and writes this bucket) and people.token (reads it), mode 0400.
# A token file that still works stays as it is. InfluxDB 2.9 keeps only hashes of tokens, so one that is lost cannot be
# read back: it is replaced, and the old authorization is deleted once the new one works and its file is written.
#
# The dashboard and the checks (template.yml) are one stack of the organization, called tickflux, and are about the bucket
# that was prepared last. They want a token that may manage everything in it; without one a line says so, and that is all.
#
# What belongs to whom. The folder has a random name of its own (folder.id), which every authorization made for it
# carries in its description. Only authorizations with that name and with rights to this very bucket are ever deleted,
# so it does not matter from where this runs, and no other folder's, bucket's or organization's token is touched. A
# copy of the folder is the same folder: replace a token in one, and the other's is gone. The file `owner` says whose
# tokens the folder holds; while that bucket exists and token files are there, another bucket is refused.

set -euo pipefail
shopt -s inherit_errexit nullglob

readonly retention=24h0m0s shard_group=1h0m0s
readonly bucket="${INFLUX_BUCKET_NAME-${DOCKER_INFLUXDB_INIT_BUCKET-ticks}}"
readonly token_dir="${TICKFLUX_TOKEN_DIR:-tickflux-tokens}"
readonly token_uid="${TICKFLUX_TOKEN_UID:-10001}"
readonly flux_dir="${TICKFLUX_FLUX_DIR:-}"
readonly flux_from="${BASH_SOURCE[0]%/*}/../flux" template="${BASH_SOURCE[0]%/*}/template.yml" stack_name=tickflux
readonly check_access="Check INFLUX_HOST, INFLUX_TOKEN and INFLUX_ORG (or \`influx config\`); the token must be allowed to \
manage buckets and tokens."

# The CLI would read these itself: they change its output, and `bucket update` takes the name as a new name.
unset INFLUX_BUCKET_NAME INFLUX_BUCKET_ID INFLUX_OUTPUT_JSON INFLUX_HIDE_HEADERS

say() { printf 'tickflux init: %s\n' "$*"; }
die() { printf 'tickflux init: %s\n' "$*" >&2; exit 1; }

# Ends with a line unless the bucket's name is one that people mean. InfluxDB takes others, and lists all for none.
check_bucket_name() {
    local shown why=''
    printf -v shown '%q' "$bucket"
    case "$bucket" in
        '') why='it is empty' ;;
        _*) why="those that begin with _ are InfluxDB's own" ;;
        -*) why='one that begins with - reads as a flag' ;;
        *[[:cntrl:]]*) why='it has a control character, such as a tab' ;;
        [[:space:]]* | *[[:space:]]) why='it begins or ends with a blank' ;;
        *\"*) why='InfluxDB takes none with a quotation mark' ;;
    esac
    [ -z "$why" ] || die "$shown is not a name for the bucket: $why: set INFLUX_BUCKET_NAME to another."
}

# What the CLI said last, as one line.
reason() {
    local text
    text="$(<"$scratch/errors")"
    text="${text#Error: }"
    printf '%s' "${text//[[:cntrl:]]/ }"
}

# run WHAT ARG…: the influx CLI; when it fails, ends with WHAT could not be done and why.
run() {
    local what="$1"
    shift
    influx "$@" 2>"$scratch/errors" || die "cannot $what: $(reason). $check_access"
}

# json_value KEY: the first string of that key in the JSON on standard input. A quotation mark inside of a string is
# written \", so no value can look like a key.
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

# --- the bucket ------------------------------------------------------------------------------------------------

# find_bucket FLAG VALUE: sets found_* to the bucket of that --name or --id; found_id is empty when there is none.
find_bucket() {
    local line code=0
    found_id='' found_name='' found_keep='' found_shards='' found_org=''
    line="$(influx bucket list --hide-headers "$1" "$2" 2>"$scratch/errors")" || code=$?
    if [ "$code" != 0 ]; then
        case "$(reason)" in
            *': bucket not found' | *': bucket "'*'" not found') return 0 ;;
        esac
        die "cannot look for the bucket $2: $(reason). $check_access"
    fi
    # Columns are parted by one tab or more; the name holds none.
    IFS=$'\t' read -r found_id found_name found_keep found_shards found_org _ <<<"$line"
    [ "$1" != --name ] || [ "$found_name" = "$2" ] || found_id=''
}

# Is it right to change the bucket's retention from $1? It is when that deletes nothing, when the image made the
# bucket for us a moment ago, or when the user says so.
may_change_retention() {
    [ "$1" != infinite ] && [ "${1%%h*}" -lt "${retention%%h*}" ] && return
    [ "${DOCKER_INFLUXDB_INIT_BUCKET:-}" = "$bucket" ] || [ "${TICKFLUX_FORCE:-}" = 1 ]
}

prepare_bucket() {
    local rules=(--retention "$retention" --shard-group-duration "$shard_group") made='' why
    find_bucket --name "$bucket"
    if [ -z "$found_id" ]; then
        # Another run may be quicker; then its bucket is ours, too.
        influx bucket create --name "$bucket" "${rules[@]}" >/dev/null 2>"$scratch/errors" && made=1
        why="$(reason)"
        find_bucket --name "$bucket"
        [ -n "$found_id" ] || die "cannot create the bucket $bucket: $why. The token must be allowed to manage buckets."
    fi
    if [ -n "$made" ]; then
        say "bucket $bucket: created, keeps $found_keep in shard groups of $found_shards"
    elif [ "$found_keep" = "$retention" ] && [ "$found_shards" = "$shard_group" ]; then
        say "bucket $bucket: keeps $found_keep in shard groups of $found_shards, as it should"
    elif [ "$found_keep" = "$retention" ] || may_change_retention "$found_keep"; then
        run "correct the bucket $bucket" bucket update --id "$found_id" "${rules[@]}" >/dev/null
        say "bucket $bucket: kept $found_keep in shard groups of $found_shards, now $retention in $shard_group"
    else
        die "the bucket $bucket keeps $found_keep, tickflux wants $retention, and shortening it deletes the older data:" \
            "set TICKFLUX_FORCE=1 to do it, or INFLUX_BUCKET_NAME to use another bucket."
    fi
    bucket_id="$found_id" org_id="$found_org"
}

# The bucket's name as a Flux string.
flux_string() {
    local text="${bucket//\\/\\\\}"
    # ${ would begin an expression.
    printf '"%s"' "${text//\$/\\x24}"
}

# --- the folder of the tokens ----------------------------------------------------------------------------------

# keep FILE MODE [OWNER]: standard input becomes FILE, whole or not at all, and is on the disk before it counts.
keep() {
    local owner=()
    [ -z "${3:-}" ] || [ "$(id -u)" != 0 ] || owner=(-o "$3")
    if { install "${owner[@]}" -m "$2" /dev/stdin "$1.new" && sync "$1.new" && mv -f "$1.new" "$1" &&
        sync "${1%/*}"; } 2>"$scratch/errors"; then
        return
    fi
    rm -f "$1.new"
    return 1
}

# is_text FILE TEXT: does the file hold that text already?
is_text() { [ -f "$1" ] && [ "$(<"$1")" = "$2" ]; }

cannot_keep() { die "cannot write $1: $(reason): make room, make the folder writable, or set $2 to another one."; }

# One run at a time: what one finds missing the other may be making.
lock_folder() {
    [ -d "$token_dir" ] || install -d -m 0755 "$token_dir" || die "cannot create $token_dir: set TICKFLUX_TOKEN_DIR."
    exec {lock}<"$token_dir" || die "cannot open $token_dir: run this as its owner or as root."
    flock --wait 120 "$lock" || die "another run has used $token_dir for two minutes: wait for it, or end it."
}

token_files() { local files=("$token_dir"/*.token); printf '%s' "${#files[@]}"; }

# Before anything is changed: the folder must not hold the tokens of another bucket that somebody may be using.
check_owner() {
    [ -e "$token_dir/owner" ] && [ "$(token_files)" != 0 ] || return 0
    local owned kept
    read -r _ owned <"$token_dir/owner" || true
    [[ ${owned:-} =~ ^[0-9a-f]{16}$ ]] || die "$token_dir/owner is damaged: remove it, and the token files speak for themselves."
    find_bucket --name "$bucket"
    [ "$found_id" != "$owned" ] || return 0
    find_bucket --id "$owned"
    [ -z "$found_id" ] ||
        die "$token_dir holds the tokens of another bucket, $found_name ($found_id) of the organization $found_org: set" \
            "TICKFLUX_TOKEN_DIR to a folder for $bucket, or remove the token files there to give it this one."
    # Here those tokens are worth nothing; in another InfluxDB they may be.
    for kept in "$token_dir"/*.token; do
        mv -f "$kept" "$kept.$owned" || die "cannot rename $kept: make the folder writable."
    done
    say "$token_dir held the tokens of a bucket ($owned) that this InfluxDB does not have: kept as *.token.$owned"
}

# The folder's own name, and whose tokens it holds.
claim_folder() {
    if [ -e "$token_dir/folder.id" ]; then
        folder="$(<"$token_dir/folder.id")"
        [[ $folder =~ ^[0-9a-f]{16}$ ]] || die "$token_dir/folder.id is damaged: remove it; tokens made before then stay valid."
    else
        folder="$(head -c 8 /dev/urandom | od -An -tx1)"
        folder="${folder//[[:space:]]/}"
        keep "$token_dir/folder.id" 0644 <<<"$folder" || cannot_keep "$token_dir/folder.id" TICKFLUX_TOKEN_DIR
    fi
    # What is right is not written again: a full disk stops only who has something to write.
    is_text "$token_dir/owner" "$org_id $bucket_id" ||
        keep "$token_dir/owner" 0644 <<<"$org_id $bucket_id" || cannot_keep "$token_dir/owner" TICKFLUX_TOKEN_DIR
}

# --- the tokens ------------------------------------------------------------------------------------------------

# as TOKEN ARG…: the influx CLI with that token, quietly.
as() {
    local token="$1"
    shift
    INFLUX_TOKEN="$token" influx "$@" >/dev/null 2>"$scratch/errors"
}

# By the bucket's name: asked by its id, InfluxDB 2.9.1 lets any token read it.
can_read() { as "$1" query "from(bucket: $(flux_string)) |> range(start: -1s) |> limit(n: 1)"; }

# A comment is a write without points: it needs the right to write and leaves nothing behind.
can_write() { printf '# is this token good?\n' | as "$1" write --bucket "$bucket" -; }

# judge NAME TOKEN: sets verdict to `works`; to `unknown` if InfluxDB does not know the token; or to `poor` if it may
# not do what this name promises. Ends when InfluxDB answers neither.
judge() {
    verdict=unknown
    # Nothing else can be a token; with an empty one the CLI would use its own.
    [[ $2 =~ ^[!-~]+$ ]] || return 0
    if can_read "$2" && { [ "$1" != capture ] || can_write "$2"; }; then
        verdict=works
        return
    fi
    case "$(reason)" in
        *': 401 '*) ;;
        *': 403 '* | *': 404 '*) verdict=poor ;;
        *) die "cannot tell whether $token_dir/$1.token still works: $(reason). Nothing was changed; run this again." ;;
    esac
}

fingerprint() {
    local sum
    sum="$(printf '%s' "$1" | sha256sum)"
    printf '%s' "${sum%% *}"
}

# Prints the ids of the authorizations that were made for NAME in this folder, with rights to this very bucket.
find_authorizations() {
    local list line id='' description='' is_ours=''
    list="$(run 'list the tokens' auth list --json)"
    # A key a line, as deep as it is indented; a line break inside of a string is written \n.
    while IFS= read -r line; do
        case "$line" in
            $'\t\t"id": "'*) id="${line#*: \"}" id="${id%%\"*}" description='' is_ours='' ;;
            $'\t\t"description": "'*) description="${line#*: \"}" ;;
            $'\t\t\t"read:orgs/'"$org_id/buckets/$bucket_id"'"'*) is_ours=1 ;;
            $'\t}'*) [ -z "$is_ours" ] || [[ $description != "tickflux $1, folder $folder:"* ]] || printf '%s\n' "$id" ;;
        esac
    done <<<"$list"
}

# delete_others NAME ID: every authorization made for NAME in this folder but ID.
delete_others() {
    local ids id
    ids="$(find_authorizations "$1")"
    for id in $ids; do
        [ "$id" = "$2" ] || run "delete the old token $id" auth delete --id "$id" >/dev/null
    done
}

# give_up WHAT ID: the new authorization with that id is of no use.
give_up() {
    local why
    why="$(reason)"
    influx auth delete --id "$2" >/dev/null 2>&1 || true # if not now, the next run deletes it
    die "$1: $why"
}

# prepare_token NAME FLAG…: makes sure that NAME.token holds a working token with the rights of FLAG….
prepare_token() {
    local name="$1" file="$token_dir/$1.token" token='' recorded_id='' recorded='' made id
    shift
    if [ -e "$file" ]; then
        if [ ! -f "$file" ] || [ ! -r "$file" ]; then
            die "cannot read $file: run this as its owner or as root, or remove it to get a new token."
        fi
        token="$(head -c 4096 "$file" | tr -d '\000\r\n')"
    fi
    # The authorization of the token in the file, if this script put it there.
    [ ! -e "$token_dir/$name.id" ] || read -r recorded_id recorded <"$token_dir/$name.id" || true
    [ "$(fingerprint "$token")" = "$recorded" ] || recorded_id=''
    judge "$name" "$token"
    if [ "$verdict" = works ]; then
        say "token $file: works, kept"
        # A run that was stopped may have left the one before.
        [ -z "$recorded_id" ] || delete_others "$name" "$recorded_id"
        return
    fi
    [ "$verdict" = unknown ] || [ -n "$recorded_id" ] ||
        die "$file holds a token that may not do what it is for ($(reason)), and this script did not put it there: set" \
            "TICKFLUX_TOKEN_DIR to another folder, or remove the file to get a new token."

    made="$(run "create the $name token" auth create --json --description "tickflux $name, folder $folder: bucket $bucket" "$@")"
    id="$(json_value id <<<"$made")" token="$(json_value token <<<"$made")"
    # Whatever stops this script from here on: the next run finds no token that works, makes another, and deletes this one.
    judge "$name" "$token"
    [ "$verdict" = works ] || give_up "the new $name token does not work; look at InfluxDB's log, then run this again" "$id"
    if ! { keep "$token_dir/$name.id" 0644 <<<"$id $(fingerprint "$token")" && keep "$file" 0400 "$token_uid" <<<"$token"; }; then
        give_up "cannot write $file; make room, make the folder writable, or set TICKFLUX_TOKEN_DIR to another one" "$id"
    fi
    # The old ones go last: a capture that uses one is refused, and finds the new one in the file.
    delete_others "$name" "$id"
    say "token $file: created"
}

# --- the Flux files --------------------------------------------------------------------------------------------

# Writes the files of flux/ to flux_dir with the bucket's name in their parameters.
render_flux() {
    local from line text parameter
    parameter="bucket = $(flux_string)"
    [ -d "$flux_dir" ] || install -d -m 0755 "$flux_dir" || die "cannot create $flux_dir: set TICKFLUX_FLUX_DIR."
    for from in "$flux_from"/*.flux; do
        text=''
        while IFS= read -r line || [ -n "$line" ]; do
            [ "$line" != 'bucket = "ticks"' ] || line="$parameter"
            text+="$line"$'\n'
        done <"$from"
        [[ $text == *$'\n'"$parameter"$'\n'* ]] || die "$from has no line: bucket = \"ticks\". Take the file of this version."
        is_text "$flux_dir/${from##*/}" "${text%$'\n'}" ||
            keep "$flux_dir/${from##*/}" 0644 <<<"${text%$'\n'}" || cannot_keep "$flux_dir/${from##*/}" TICKFLUX_FLUX_DIR
    done
    say "Flux files in $flux_dir: ask the bucket $bucket"
}

# --- the dashboard and its checks ------------------------------------------------------------------------------

# Sets stack_id to the oldest stack of that name; it is empty when there is none.
find_stack() {
    local list id
    list="$(influx stacks --hide-headers --stack-name "$stack_name" 2>"$scratch/errors")" || return
    stack_id=''
    while IFS=$'\t' read -r id _; do
        [ -z "$id" ] || { [ -n "$stack_id" ] && [[ $stack_id < $id ]]; } || stack_id="$id"
    done <<<"$list"
}

# Writes the template with this bucket's name in it.
render_template() {
    local text rest
    rest="$(<"$template")" && text='' || return
    while [[ $rest == *'"ticks"'* ]]; do
        text+="${rest%%'"ticks"'*}$(flux_string)"
        rest="${rest#*'"ticks"'}"
    done
    printf '%s\n' "$text$rest" >"$scratch/template.yml"
}

# What it is about can do without it: nothing here ends the script.
prepare_dashboard() {
    local lock_template stack_id='' what='dashboard and checks'
    if ! { exec {lock_template}<"$template"; } 2>/dev/null; then
        say "$what: left out, for $template is not there"
        return
    fi
    # One run at a time, from whatever folder: two that find no stack would make two.
    if flock --wait 120 "$lock_template" 2>"$scratch/errors" && render_template 2>"$scratch/errors" && find_stack && {
        [ -n "$stack_id" ] ||
            { influx stacks init --stack-name "$stack_name" >/dev/null 2>"$scratch/errors" && find_stack; }
    } && influx apply --stack-id "$stack_id" --file "$scratch/template.yml" --force yes --quiet >/dev/null 2>"$scratch/errors"; then
        say "$what: in the UI, of the bucket $bucket"
    else
        say "$what: left out: $(reason). To have them, run this with an all-access token of the organization."
    fi
    exec {lock_template}<&-
}

check_bucket_name
case "${1:-}" in
    '') ;;
    --check) exit ;;
    *) die "$1 is unknown here: settings are environment variables, see the head of this file." ;;
esac
command -v influx >/dev/null || die 'the influx CLI is not on PATH: install influxdb2-cli, or run this in the InfluxDB container.'
command -v flock >/dev/null || die 'flock is not on PATH: install util-linux.'

scratch="$(mktemp -d)" || die 'cannot make a temporary folder: make room, or set TMPDIR.'
readonly scratch
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bucket_id='' org_id='' folder='' verdict=''
choose_org
lock_folder
check_owner
prepare_bucket
claim_folder
prepare_token capture --read-bucket "$bucket_id" --write-bucket "$bucket_id"
prepare_token people --read-bucket "$bucket_id"
[ -z "$flux_dir" ] || render_flux
[ "${TICKFLUX_DASHBOARD:-1}" = 0 ] || prepare_dashboard
