#!/usr/bin/env bash
# Sluice in one command, on a bare Debian 12: installs what is missing, builds, starts the broker with a live feed of this
# machine's own figures, prints the address of the live dashboard, and runs until Ctrl-C.
#
#   deploy/quickstart.sh [--port N] [--no-install] [--help]
#
#   --port N       port of broker and dashboard; without it 8080, or the next free one
#   --no-install   leave the packages alone
#
# Needs root or sudo only where packages are missing. The build stands in build/, logs in build/quickstart/.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/build
LOGS=$BUILD/quickstart
PACKAGES="cmake ninja-build gcc libc6-dev pkg-config libwebsockets-dev libwebsockets-evlib-ev libev-dev libssl-dev
libcbor-dev libxxhash-dev libyaml-dev libsqlite3-dev zlib1g-dev ca-certificates"

port="" install=1 broker="" feed=""

arrow="==>"
if [ -t 1 ]; then arrow=$'\033[1m==>\033[0m'; fi

say() {
    printf '%s %s\n' "$arrow" "$*"
}

fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

usage() {
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# fail_with_log FILE TEXT…
fail_with_log() {
    local log=$1
    shift
    tail -n 30 "$log" >&2 || true
    fail "$* The whole log: $log"
}

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --port) port=${2:-}; shift ;;
        --port=*) port=${1#*=} ;;
        --no-install) install=0 ;;
        --help | -h) usage; exit 0 ;;
        *) printf 'quickstart: %s is no option\n\n' "$1" >&2; usage >&2; exit 2 ;;
        esac
        [ $# -gt 0 ] && shift
    done
    case $port in
    "") ;;
    *[!0-9]* | ??????*) fail "--port takes a number from 1 to 65535" ;;
    *) [ "$port" -ge 1 ] && [ "$port" -le 65535 ] || fail "--port takes a number from 1 to 65535" ;;
    esac
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() {
    local missing="" package as_root=""
    command -v dpkg-query >/dev/null || fail "this is no Debian: install the counterparts of: $(echo $PACKAGES)
then run this again with --no-install"
    for package in $PACKAGES; do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "packages are missing, and there is no sudo to install them with.
Run this as root, or have root run the next line and then run this again:
  apt-get update && apt-get install --no-install-recommends$missing"
        as_root=sudo
    fi
    say "Installing:$missing"
    $as_root apt-get update -q >"$LOGS/apt.log" 2>&1 || fail_with_log "$LOGS/apt.log" "apt-get update failed."
    # shellcheck disable=SC2086  # a list of words is wanted
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing \
        >>"$LOGS/apt.log" 2>&1 || fail_with_log "$LOGS/apt.log" "apt-get install failed."
}

build() {
    say "Building (a minute or two the first time)"
    local generator=()
    command -v ninja >/dev/null && generator=(-G Ninja)
    # A build tree that is there already keeps its settings; the tests need more packages than the broker.
    if [ ! -f "$BUILD/CMakeCache.txt" ]; then
        cmake -S "$ROOT" -B "$BUILD" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DSLUICE_TESTS=OFF \
            >"$LOGS/build.log" 2>&1 || { rm -f "$BUILD/CMakeCache.txt"; fail_with_log "$LOGS/build.log" "cmake failed."; }
    fi
    cmake --build "$BUILD" --target sluiced sluice_cli -j "$(nproc)" >>"$LOGS/build.log" 2>&1 ||
        fail_with_log "$LOGS/build.log" "The build failed."
}

is_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null
}

choose_port() {
    if [ -n "$port" ]; then
        is_taken "$port" && fail "port $port is taken: choose another one with --port N"
        return 0
    fi
    for port in $(seq 8080 2 8120); do
        is_taken "$port" && continue
        [ "$port" = 8080 ] || say "Port 8080 is taken, so $port it is (--port N chooses)"
        return 0
    done
    fail "ports 8080 to 8120 are taken: choose one with --port N"
}

# Ends what this script started, by process id, and nothing else.
end_all() {
    trap - EXIT INT TERM
    local pid
    for pid in $feed $broker; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in $feed $broker; do
        wait "$pid" 2>/dev/null || true
    done
}

on_signal() {
    printf '\n'
    say "Stopping"
    end_all
    exit 0
}

# wait_for SECONDS COMMAND…: until it succeeds; fails when the time is over or a child has ended
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        kill -0 "$broker" 2>/dev/null || return 1
        sleep 0.1
    done
}

is_ready() {
    grep -q '^ready ' "$LOGS/sluiced.out"
}

start_broker() {
    local admin=0
    is_taken 8081 || admin=8081
    say "Starting the broker"
    "$BUILD/bin/sluiced" --config "$ROOT/deploy/quickstart.yaml" --dev --data "$LOGS/data" --listen "localhost:$port" \
        --admin "127.0.0.1:$admin" --set "dashboard=$ROOT/clients/dashboard" \
        >"$LOGS/sluiced.out" 2>"$LOGS/sluiced.log" &
    broker=$!
    wait_for 15 is_ready || fail_with_log "$LOGS/sluiced.log" "The broker did not start."
}

start_feed() {
    say "Starting the feed of this machine's figures"
    "$BUILD/bin/sluice" feed system --server "ws://127.0.0.1:$port/ws" >"$LOGS/feed.log" 2>&1 &
    feed=$!
    # The first two seconds of history, so that the page does not open on an empty chart.
    "$BUILD/bin/sluice" sub --server "ws://127.0.0.1:$port/ws" -C 8 -W 20 'host/+/cpu' >/dev/null 2>"$LOGS/sub.log" ||
        fail_with_log "$LOGS/feed.log" "No figures came."
}

tell() {
    local admin
    admin=$(sed -n 's/^ready .*admin=\([^ ,]*\).*/\1/p' "$LOGS/sluiced.out")
    printf '\n  Live dashboard:  http://localhost:%s/\n' "$port"
    if [ -f "$ROOT/clients/console/index.html" ] && [ -n "$admin" ]; then
        printf '  Console:         http://%s/\n' "$admin"
    fi
    printf '\n  See it in a terminal:  %s sub --server ws://127.0.0.1:%s/ws '"'host/#'"'\n' "$BUILD/bin/sluice" "$port"
    printf '  Ctrl-C ends it.\n\n'
}

main() {
    read_arguments "$@"
    mkdir -p "$LOGS"
    if [ -n "$port" ]; then choose_port; fi # wrong at once rather than after the build
    if [ "$install" = 1 ]; then install_packages; fi
    build
    choose_port
    trap end_all EXIT
    trap on_signal INT TERM
    start_broker
    start_feed
    tell
    wait -n "$broker" "$feed" || true
    if kill -0 "$broker" 2>/dev/null; then
        fail_with_log "$LOGS/feed.log" "The feed ended."
    fi
    fail_with_log "$LOGS/sluiced.log" "The broker ended."
}

main "$@"
