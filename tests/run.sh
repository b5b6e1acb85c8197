#!/usr/bin/env bash
# Installs what the tests need, builds, runs them all, and ends with "N passed, N failed" alone on the last line.
#
#   tests/run.sh                    everything; less than half an hour on two cores
#   tests/run.sh --only build,unit  some stages; --list names them
#   tests/run.sh --long             adds the soak tests and fuzzes for ten minutes each
#
# Needs a Debian 12 and root or sudo, for packages only. Builds stand in build*/, logs and screenshots in
# build/artifacts. A developer's guide is tests/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD

ALL_STAGES="format build unit conformance integration browser asan tsan clang fuzz bench soak"
only="" long=0 setup=1
JOBS=$(nproc)

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    printf '\nOptions: --only STAGE[,STAGE]  --list  --long  --jobs N  --no-setup  --help\n'
}

list_stages() {
    cat <<'TXT'
format       clang-format over our C, rules of the tree
build        gcc, Release, warnings are errors
unit         Criterion tests and C contract suites
conformance  RFC 6455 cases against the real sluiced
integration  the native protocol and everything around it, with Python, curl, npm ws and websocket
browser      the dashboard in headless Chromium
asan         AddressSanitizer and UBSan: unit, conformance and integration again
tsan         ThreadSanitizer, two workers: load and integration
clang        clang, warnings are errors
fuzz         every decoder, 30 s each
bench        figures, printed
soak         long runs (only with --long)
TXT
}

while [ $# -gt 0 ]; do
    case $1 in
    --only) only=${2:?--only needs stages}; shift ;;
    --only=*) only=${1#*=} ;;
    --jobs | -j) JOBS=${2:?--jobs needs a number}; shift ;;
    --jobs=*) JOBS=${1#*=} ;;
    --long) long=1 ;;
    --no-setup) setup=0 ;;
    --list) list_stages; exit 0 ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done
stages=${only:-$ALL_STAGES}
stages=" ${stages//,/ } "
for stage in $stages; do
    case " $ALL_STAGES " in
    *" $stage "*) ;;
    *) printf 'there is no stage %s; these are:\n' "$stage" >&2; list_stages >&2; exit 2 ;;
    esac
done

ARTIFACTS=$ROOT/build/artifacts
RESULTS=$ARTIFACTS/results.tsv
mkdir -p "$ARTIFACTS/logs"
: >"$RESULTS"
export ROOT ARTIFACTS RESULTS JOBS long

. tests/support/prepare.sh
. tests/support/stages.sh

run_stage() {
    local name=$1 began=$SECONDS
    STAGE=$name
    printf '\n== %s\n' "$name"
    local failed_before
    failed_before=$(grep -c '^fail' "$RESULTS" || true)
    if ! "stage_$name" && [ "$(grep -c '^fail' "$RESULTS" || true)" = "$failed_before" ]; then
        record fail "$name" "the stage itself" "it ended with an error, see above"
    fi
    printf '== %s took %d s\n' "$name" $((SECONDS - began))
}

interrupted() {
    trap - INT TERM
    printf '\ninterrupted\n'
    kill 0
    exit 130
}
trap interrupted INT TERM

started=$SECONDS
if [ "$setup" = 1 ]; then
    printf '== setup\n'
    check_localhost
    install_packages
    install_node_modules
fi
for stage in $ALL_STAGES; do
    case $stages in *" $stage "*) ;; *) continue ;; esac
    if [ "$stage" = soak ] && [ "$long" = 0 ] && [ -z "$only" ]; then continue; fi
    run_stage "$stage"
done

count() { awk -F'\t' -v s="$1" '$1 == s { n++ } END { print n + 0 }' "$RESULTS"; }
passed=$(count pass) failed=$(count fail) skipped=$(count skip)

printf '\n== summary after %d min %d s, on %s cores\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)) "$(nproc)"
awk -F'\t' '{ if (!($2 in seen)) { order[++n] = $2; seen[$2] = 1 } c[$2, $1]++ }
    END { for (i = 1; i <= n; i++) { s = order[i]; printf "%-24s %6d passed %4d failed %4d skipped\n", s, c[s, "pass"], c[s, "fail"], c[s, "skip"] } }' "$RESULTS"
if [ "$skipped" -gt 0 ]; then
    printf '\n!! %d SKIPPED:\n' "$skipped"
    awk -F'\t' '$1 == "skip" { printf "!! %s %s: %s\n", $2, $3, $5 }' "$RESULTS"
fi
if [ "$failed" -gt 0 ]; then
    printf '\nfailed:\n'
    awk -F'\t' '$1 == "fail" { printf "  %s %s: %.160s\n", $2, $3, $5 }' "$RESULTS"
fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
