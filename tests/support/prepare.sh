# Packages and npm modules that the tests need; sourced by run.sh. Quick when everything is there.

PACKAGES="gcc libc6-dev cmake ninja-build pkg-config ccache curl ca-certificates openssl procps
libwebsockets-dev libwebsockets-evlib-ev libev-dev libssl-dev libcbor-dev libxxhash-dev libyaml-dev libjansson-dev
libsqlite3-dev sqlite3 zlib1g-dev libcriterion-dev clang clang-format llvm libclang-rt-14-dev chromium
python3 python3-websockets python3-cbor2"

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() {
    local missing="" package
    for package in $PACKAGES; do
        is_installed "$package" || missing="$missing $package"
    done
    # Any node from 18 on will do, wherever it came from.
    if ! command -v node >/dev/null || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 18 ]; then
        missing="$missing nodejs"
    fi
    command -v npm >/dev/null || missing="$missing npm"
    if [ -z "$missing" ]; then
        printf 'packages: all there\n'
        return 0
    fi
    printf 'packages to install:%s\n' "$missing"
    local as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            printf 'there is no sudo to install them with: run this as root, or have root install them\n' >&2
            exit 2
        }
        as_root=sudo
    fi
    $as_root apt-get update -q
    # shellcheck disable=SC2086  # a list of words is wanted
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}

# A bare chroot lacks what an installer or container writes into /etc/hosts; we do not write there, but say so.
check_localhost() {
    getent hosts localhost >/dev/null && return 0
    printf '!! the name localhost has no address here: tests that connect to it fail; Debian has in /etc/hosts\n'
    printf '!!     127.0.0.1 localhost\n!!     ::1 localhost ip6-localhost ip6-loopback\n'
}

# npm ci in every folder of the tests that has a lock file, unless the modules already match it.
install_node_modules() {
    local lock folder stamp
    for lock in $(find tests clients -name package-lock.json -not -path '*/node_modules/*'); do
        folder=$(dirname "$lock")
        stamp=$folder/node_modules/.lock-checksum
        if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(sha256sum <"$lock")" ]; then
            continue
        fi
        printf 'npm ci in %s\n' "$folder"
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
        sha256sum <"$lock" >"$stamp"
    done
}
