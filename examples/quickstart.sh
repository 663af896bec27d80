#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh Debian 12 to a trained model and its bill:
#
#     examples/quickstart.sh            packages, configure, build, then the main example
#     examples/quickstart.sh --setup [PACKAGE ...]    packages (and these), configure, build
#
# Says what it will install before it does, installs only what is missing, and may be run again at
# any time. As root, or as a user with sudo. DROVER_BUILD names another folder to build in.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

build=${DROVER_BUILD:-build}
packages=(
    build-essential cmake pkg-config       # compiler and build
    libglib2.0-dev libyaml-dev libjansson-dev libsqlite3-dev
    libopenmpi-dev openmpi-bin             # MPI
    libopenblas-openmp-dev                 # CPU math of the trainer
    fortunes                               # 2.5 MB of English text to train on
)

say() { printf 'quickstart: %s\n' "$1"; }

fail() {
    say "$1" >&2
    exit 1
}

usage() {
    echo "usage: examples/quickstart.sh [--setup [PACKAGE ...]]"
    echo "Installs missing Debian packages, builds into $build/, runs examples/02_gpt."
}

# Keeps the lines of apt-get in `log`, and shows those that tell how far it is.
show_progress() {
    local line unpacked=0
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
        "Need to get "* | "After this operation"* | "Fetched "*) echo "  $line" ;;
        "Unpacking "*) ((++unpacked % 40)) || echo "  $unpacked packages are unpacked" ;;
        esac
    done
}

apt_get() {
    "${sudo[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q "$@" 2>&1 | show_progress
}

install_packages() {
    local missing=() sudo=() package log
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        return
    fi
    say "installing with apt-get: ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            fail "run this as root, or install sudo, or install the packages above"
        sudo true || fail "sudo does not let you: run this as root, or install the packages above"
        sudo=(sudo)
    fi
    log=$(mktemp)
    apt_get update -o APT::Update::Error-Mode=any ||
        say "not every package list could be fetched; going on with what is here" >&2
    apt_get install -y --no-install-recommends "${missing[@]}" || {
        grep '^E: ' "$log" | head -n 3 >&2
        fail "apt-get could not install them; is the network there? All it said: $log"
    }
    rm "$log"
}

case "${1-}" in
"") ;;
--setup) packages+=("${@:2}") ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac
command -v apt-get >/dev/null ||
    fail "needs apt-get (Debian 12); README.md names what to install elsewhere"
mkdir -p "$build" 2>/dev/null || true
[ -w "$build" ] ||
    fail "cannot write to $build/; name another folder: DROVER_BUILD=/tmp/drover-build $0"

install_packages
say "configuring $build/"
cmake -B "$build" -S . | sed -n '/optional parts/,/Slurm/p'
if [ "${1-}" = --setup ]; then
    say "building everything"
    cmake --build "$build" -j "$(nproc)"
    exit 0
fi
say "building what 'cmake --install' installs, without the tests"
cmake --build "$build" -j "$(nproc)" \
    --target drover drover_generated drover_job_man mpi_hello gpt_train
say "built; for your shell: export PATH=\"$(readlink -f "$build")/bin:\$PATH\""
say "drover run examples/02_gpt/job.yaml"
exec "$build/bin/drover" run examples/02_gpt/job.yaml
