# One function for each stage of run.sh. Every test of every runner leaves a line in $RESULTS:
# status (pass, fail, skip), suite, name, seconds, reason; separated by tabs.

PYTHON=/usr/bin/python3

# record STATUS SUITE NAME [REASON]
record() {
    printf '%s\t%s\t%s\t0\t%s\n' "$1" "$2" "$3" "$(printf '%s' "${4:-}" | tr '\t\n' '  ')" >>"$RESULTS"
}

# as_test NAME LOG COMMAND…: a command that counts as one test; its output goes to the log, shown when it fails
as_test() {
    local name=$1 log=$ARTIFACTS/logs/$2 began=$SECONDS
    shift 2
    if "$@" >"$log" 2>&1; then
        record pass "$STAGE" "$name"
        printf 'pass %s (%d s)\n' "$name" $((SECONDS - began))
    else
        record fail "$STAGE" "$name" "$(tail -n 3 "$log")"
        printf 'FAIL %s (%d s), the end of %s:\n' "$name" $((SECONDS - began)) "$log"
        tail -n 60 "$log" | sed 's/^/     /'
        return 1
    fi
}

# configure_and_build DIR CMAKE-ARGUMENT…
configure_and_build() {
    local dir=$1
    shift
    set -- -DSLUICE_WERROR=ON -DSLUICE_TESTS=ON "$@"
    if command -v ccache >/dev/null; then set -- -DCMAKE_C_COMPILER_LAUNCHER=ccache "$@"; fi
    # An existing build tree keeps the generator it was made with.
    if [ ! -f "$dir/CMakeCache.txt" ]; then set -- -G Ninja "$@"; fi
    cmake -S . -B "$dir" "$@" && cmake --build "$dir" -j "$JOBS"
}

ensure_built() {
    [ -x build/bin/sluiced ] || as_test "gcc Release" build-gcc.log configure_and_build build -DCMAKE_BUILD_TYPE=Release
}

# What the broker under test is started through; empty but for ThreadSanitizer.
LAUNCH=()

ASAN_FLAGS="detect_leaks=1:detect_stack_use_after_return=1:check_initialization_order=1:allocator_may_return_null=1"
SANITIZER_ENV=(
    "ASAN_OPTIONS=$ASAN_FLAGS"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "LSAN_OPTIONS=suppressions=$ROOT/tests/support/lsan.supp:print_suppressions=0"
    "TSAN_OPTIONS=suppressions=$ROOT/tests/support/tsan.supp:second_deadlock_stack=1:history_size=4:report_signal_unsafe=0"
)

# python_suite NAME BUILD PATH… -- RUNNER-ARGUMENT…
python_suite() {
    local suite=$1 build=$2 paths=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do paths+=("$1"); shift; done
    if [ "${1:-}" = -- ]; then shift; fi
    if [ "$long" = 1 ]; then set -- --long "$@"; fi
    env "${SANITIZER_ENV[@]}" SLUICED="$ROOT/$build/bin/sluiced" SLUICE="$ROOT/$build/bin/sluice" \
        "${LAUNCH[@]}" "$PYTHON" tests/support/runner.py --suite "$suite" --results "$RESULTS" --jobs "$((JOBS + 2))" \
        "$@" "${paths[@]}" || true
}

# node_suite NAME BUILD FILE…
node_suite() {
    local suite=$1 build=$2
    shift 2
    env "${SANITIZER_ENV[@]}" SLUICED="$ROOT/$build/bin/sluiced" SLUICE="$ROOT/$build/bin/sluice" SUITE="$suite" \
        SLUICE_ARTIFACTS="$ARTIFACTS" \
        node --test --test-reporter="$ROOT/tests/support/node_reporter.mjs" --test-reporter-destination=stdout "$@" || true
}

# unit_tests NAME BUILD
unit_tests() {
    local junit=$ARTIFACTS/logs/$1.xml
    env "${SANITIZER_ENV[@]}" ctest --test-dir "$2" -j "$JOBS" --output-junit "$junit" --output-on-failure \
        --test-output-size-passed 1000000 --test-output-size-failed 1000000 >"$ARTIFACTS/logs/$1.log" 2>&1 || true
    "$PYTHON" tests/support/ctest_results.py "$1" "$junit" "$RESULTS"
}

# Names each C file that the formatter would change.
unformatted_files() {
    local formatter=$1 file bad=0
    while IFS= read -r file; do
        if ! "$formatter" "$file" | cmp -s - "$file"; then
            printf '%s is not as %s would have it: %s -i %s\n' "$file" ".clang-format" "$formatter" "$file"
            bad=1
        fi
    done < <(find broker protocol storage clients tests -name node_modules -prune -o -name '*.[ch]' -print | sort)
    return $bad
}

stage_format() {
    local formatter=clang-format
    if command -v clang-format-14 >/dev/null; then formatter=clang-format-14; fi
    as_test "C is formatted" format.log unformatted_files "$formatter" || true
    as_test "rules of the tree" tree.log "$PYTHON" tests/support/tree_rules.py || true
}

stage_build() {
    as_test "gcc Release" build-gcc.log configure_and_build build -DCMAKE_BUILD_TYPE=Release
    as_test "sluiced and sluice are there" programs.log sh -c 'build/bin/sluiced --version && build/bin/sluice version'
}

stage_unit() {
    ensure_built
    unit_tests unit build
}

stage_conformance() {
    ensure_built
    python_suite conformance build tests/conformance
}

stage_integration() {
    ensure_built
    python_suite integration build tests/integration
    node_suite integration-node build tests/integration/js/*.test.mjs
}

stage_browser() {
    ensure_built
    local files
    files=$(find tests/browser -name node_modules -prune -o \( -name '*.test.mjs' -o -name '*.test.js' \) -print)
    if [ -z "$files" ]; then
        record fail browser "browser tests" "tests/browser holds none"
        return 0
    fi
    # shellcheck disable=SC2086  # a list of words is wanted
    node_suite browser build $files
}

stage_asan() {
    as_test "gcc with AddressSanitizer and UBSan" build-asan.log \
        configure_and_build build-asan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSLUICE_SANITIZE=address
    export SLUICE_TEST_SLOW=3
    unit_tests asan-unit build-asan
    python_suite asan-conformance build-asan tests/conformance -- --checked
    python_suite asan-integration build-asan tests/integration -- --checked
    node_suite asan-node build-asan tests/integration/js/*.test.mjs
    unset SLUICE_TEST_SLOW
}

stage_tsan() {
    as_test "gcc with ThreadSanitizer" build-tsan.log configure_and_build build-tsan \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSLUICE_SANITIZE=thread -DSLUICE_TESTS=OFF
    # ThreadSanitizer of gcc 12 does not start where addresses are spread widely; take that off where it is allowed.
    if setarch "$(uname -m)" -R true 2>/dev/null; then LAUNCH=(setarch "$(uname -m)" -R); fi
    export SLUICE_TEST_SLOW=4 SLUICE_TEST_WORKERS=2
    python_suite tsan build-tsan tests/integration -- --checked
    unset SLUICE_TEST_SLOW SLUICE_TEST_WORKERS
    LAUNCH=()
}

stage_clang() {
    as_test "clang" build-clang.log configure_and_build build-clang -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang
}

# fuzz_one PROGRAM: 30 s, or ten minutes with --long; the seed corpus is only read
fuzz_one() {
    local program=$1 name seconds=30
    name=$(basename "$program")
    if [ "$long" = 1 ]; then seconds=600; fi
    local corpus=$ARTIFACTS/fuzz/$name seeds=tests/fuzz/corpus/${name#fuzz_}
    mkdir -p "$corpus"
    if [ ! -d "$seeds" ]; then seeds=""; fi
    # shellcheck disable=SC2086  # no seeds, no argument
    as_test "$name, $seconds s" "$name.log" env ASAN_OPTIONS="$ASAN_FLAGS" UBSAN_OPTIONS=print_stacktrace=1 \
        "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$corpus/crash-" "$corpus" $seeds || true
}

stage_fuzz() {
    as_test "clang with libFuzzer and sanitizers" build-fuzz.log configure_and_build build-fuzz \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DSLUICE_FUZZ=ON -DSLUICE_TESTS=OFF \
        -DSLUICE_SANITIZE=address
    local program running=0 found=0
    for program in build-fuzz/bin/fuzz_*; do
        if [ ! -x "$program" ]; then continue; fi
        found=1
        fuzz_one "$program" &
        running=$((running + 1))
        if [ "$running" -ge "$JOBS" ]; then
            wait -n || true
            running=$((running - 1))
        fi
    done
    wait
    if [ "$found" = 0 ]; then record fail fuzz "fuzz targets" "the build made none"; fi
}

# Figures for people to read; a bench fails only when it does not run.
stage_bench() {
    ensure_built
    local log=$ARTIFACTS/logs/bench.log program
    if [ -f tests/bench/run.sh ]; then
        as_test "benches run" bench.log env SLUICED="$ROOT/build/bin/sluiced" SLUICE="$ROOT/build/bin/sluice" \
            bash tests/bench/run.sh || true
    else
        : >"$log"
        for program in bench_router bench_fanout; do
            as_test "$program runs" "$program.log" timeout 300 "build/bin/$program" || true
            cat "$ARTIFACTS/logs/$program.log" >>"$log"
        done
    fi
    sed 's/^/    /' "$log"
}

stage_soak() {
    ensure_built
    python_suite soak build tests/integration -- --long --filter soak
}
