#!/bin/bash
# Builds Segue and runs its tests, from nothing, on a fresh Debian 12. ctest's closing lines come last.
#
#   tests/run.sh                 Release build, all tests, sanitizers and fuzzing in their short forms
#   tests/run.sh --quick         with sanitizers only what parses bytes, and its fuzz targets
#   --fuzz SECONDS               seconds for each fuzz target (5)
#   --faults KILLS               kill -9 of Segue at random times, 100 in one life, servers crash too (200)
#   --lives COUNT                random schemas that are moved under random transactions (2)
#   --threads                    the threaded unit tests under ThreadSanitizer too
#   --bench                      the benchmark against PgBouncer, before the tests
#   --all                        everything, longer: --threads --bench --fuzz 60 --faults 2000 --lives 30
#   -R REGEX                     only tests whose name matches
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizers=yes threads=no bench=no fuzz=5 faults=200 lives=2 select=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) sanitizers=parsers ;;
        --sanitizers) sanitizers=yes ;;
        --threads) threads=yes ;;
        --bench) bench=yes ;;
        --fuzz) fuzz=${2:?seconds}; shift ;;
        --faults) faults=${2:?kills}; shift ;;
        --lives) lives=${2:?count}; shift ;;
        --all) sanitizers=yes threads=yes bench=yes fuzz=60 faults=2000 lives=30 ;;
        -R) select=(-R "${2:?regular expression}"); shift ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        *) echo "unknown option $1; see --help" >&2; exit 2 ;;
    esac
    shift
done

jobs=$(nproc)
began=$SECONDS
say() { printf '[%4ds] %s\n' $((SECONDS - began)) "$*"; }

configs/install_packages.sh

# Three builds of one tree share what they can.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
# Sends a build's chatter to a file and shows it only when it fails.
build() {
    local folder=$1 log
    shift
    log=$folder/build.log
    if ! ninja -C "$folder" -j "$jobs" "$@" >"$log" 2>&1; then
        grep -E -A20 'FAILED|error' "$log" | head -120 >&2
        say "the build in $folder failed; all of it is in $log"
        exit 1
    fi
}
units=(protocol router backfill proxy model)
asan_targets=(segue)
if [ $sanitizers = parsers ]; then
    units=(protocol router)
    asan_targets=()
fi
unit_targets() {  # Those of the unit test executables that exist in that build.
    local unit known
    known=$(ninja -C "$1" -t targets all)
    for unit in "$@"; do
        grep -q "^${unit}_tests:" <<<"$known" && echo "${unit}_tests"
    done
    return 0
}

other_builds=(-DSEGUE_ASAN_BUILD="$PWD/build-asan" -DSEGUE_ASAN_FOLDERS="$(IFS=\;; echo "${units[*]}")" -DSEGUE_TSAN_BUILD=)
[ $threads = no ] || other_builds[2]=-DSEGUE_TSAN_BUILD=$PWD/build-tsan

say "building (build/)"
mkdir -p build
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DSEGUE_FUZZ_SECONDS="$fuzz" "${other_builds[@]}" >build/build.log 2>&1 ||
    { cat build/build.log >&2; exit 1; }
build build

clang_build() {  # folder, kind of sanitizer, further options
    local folder=$1 kind=$2
    shift 2
    mkdir -p "$folder"
    cmake -S . -B "$folder" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -DSEGUE_SANITIZE="$kind" "$@" \
        >"$folder/build.log" 2>&1 || { cat "$folder/build.log" >&2; exit 1; }
}
say "building with AddressSanitizer and UndefinedBehaviorSanitizer, and the fuzz targets (build-asan/)"
clang_build build-asan address -DSEGUE_FUZZ=ON
mapfile -t targets < <(unit_targets build-asan "${units[@]}")
mapfile -t fuzzers < <(ninja -C build-asan -t targets all | sed -n 's/^\([a-z0-9_]*_fuzz\): phony$/\1/p')
build build-asan "${asan_targets[@]}" "${targets[@]}" "${fuzzers[@]}"
if [ $threads = yes ]; then
    say "building with ThreadSanitizer (build-tsan/)"
    clang_build build-tsan thread
    mapfile -t targets < <(unit_targets build-tsan backfill proxy)
    build build-tsan "${targets[@]}"
fi
if [ $bench = yes ]; then
    say "benchmark"
    tests/bench/bench.sh
fi

say "testing"
export SEGUE_FAULT_ROUNDS=$faults SEGUE_RANDOM_LIVES=$lives ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1
export GTEST_BRIEF=1  # Of a failed program the failed tests are what one looks for.
# A thousand servers are made and removed: in memory, where there is plenty. What a failed test leaves stays there for a look.
memory=/dev/shm
room=$(df --output=avail -k $memory 2>/dev/null | tail -1)
[ "${room:-0}" -le $((8 * 1024 * 1024)) ] || export TMPDIR=${TMPDIR:-$memory}
TMPDIR=$(mktemp -d -t segue-tests-XXXXXX)
export TMPDIR
ended() {
    if [ $? = 8 ]; then echo "what the failed tests have left is in $TMPDIR" >&2; else rm -rf "$TMPDIR"; fi  # 8: ctest's
}
trap ended EXIT
chmod 1777 "$TMPDIR"
# All servers begin as copies of this one.
export SEGUE_SERVER_TEMPLATE=$TMPDIR/template
mkdir "$SEGUE_SERVER_TEMPLATE"
build/tests/support/support_tests --gtest_also_run_disabled_tests --gtest_filter=ServerTemplate.DISABLED_Make
# Tests that take two processors for themselves (PROCESSORS) wait now and then: one more runs beside them.
ctest --test-dir build --output-on-failure -j $((jobs + 1)) "${select[@]}"
