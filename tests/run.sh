#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Set-up and every test:
#
#     tests/run.sh            all of it
#     tests/run.sh --quick    the Release build alone: ctest, lint, integration
#
# 1. packages and the Release build (examples/quickstart.sh --setup), with what only tests need
# 2. ctest on the Release build (gcc), on the Sanitize build (gcc, ASan + UBSan) and on the fuzz
#    build (clang, ASan + UBSan), whose targets then search for $FUZZ_S seconds each
# 3. pytest: lint, integration, interop
# Ends with pytest's own closing line; stops at the first step that fails.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

FUZZ_S=${FUZZ_S:-10}
python=/usr/bin/python3 # Debian's: the one that sees Debian's modules
packages=(
    clang clang-format libclang-rt-14-dev # second compiler, fuzzers
    shellcheck mandoc zsh fish            # lint of scripts, man pages, completions
    git procps
    python3-pytest python3-pexpect python3-pyte python3-jsonschema python3-yaml
    python3-numpy python3-torch           # the reference of the trainer's numbers
    python3-venv python3-pip
)

quick=0
case "${1-}" in
"") ;;
--quick) quick=1 ;;
-h | --help) sed -n '4,13s/^# \{0,1\}//p' "$0" && exit 0 ;;
*) echo "usage: tests/run.sh [--quick]" >&2 && exit 2 ;;
esac

step() { printf '\n==> %s (%d s)\n' "$*" "$SECONDS"; }

# build_and_ctest FOLDER CMAKE-ARGUMENT...
build_and_ctest() {
    local folder=$1
    shift
    step "$folder: build, ctest"
    cmake -B "$folder" -S . -DDROVER_WERROR=ON "$@" >/dev/null
    cmake --build "$folder" -j "$(nproc)" >"$folder/build.log" 2>&1 || {
        grep -E -A5 'warning:|error:' "$folder/build.log" >&2 || tail -50 "$folder/build.log" >&2
        exit 1
    }
    ctest --test-dir "$folder" --output-on-failure -j "$(nproc)"
}

# fuzz_targets FOLDER: each target searches from its corpus; what it finds stays in FOLDER.
fuzz_targets() {
    local target name
    for target in "$1"/fuzz/fuzz_*; do
        [ -x "$target" ] || continue
        name=$(basename "$target")
        step "$name: $FUZZ_S s"
        mkdir -p "$1/found/$name"
        "$target" -max_total_time="$FUZZ_S" -timeout=10 -rss_limit_mb=2048 \
            -print_final_stats=1 -artifact_prefix="$1/found/$name/" "$1/found/$name" \
            "tests/fuzz/corpus/${name#fuzz_}" >"$1/found/$name.log" 2>&1 || {
            tail -40 "$1/found/$name.log" >&2
            exit 1
        }
        grep -E 'number_of_executed|peak_rss' "$1/found/$name.log"
    done
}

step "packages, Release build"
DROVER_BUILD=build examples/quickstart.sh --setup "${packages[@]}"
build_and_ctest build
if [ $quick = 0 ]; then
    build_and_ctest build-sanitize -DCMAKE_BUILD_TYPE=Sanitize
    build_and_ctest build-fuzz -DCMAKE_C_COMPILER=clang -DDROVER_FUZZ=ON
    fuzz_targets build-fuzz
fi
step "lint, integration, interop"
suites=(tests/lint tests/integration)
[ $quick = 1 ] || suites+=(tests/interop)
DROVER_BUILD=build exec "$python" -m pytest -p no:cacheprovider -q "${suites[@]}"
