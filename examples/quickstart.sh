#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh Debian 12 (or Ubuntu 22.04 and later) to a trained model and its bill:
#
#     examples/quickstart.sh            packages, configure, build, then the main example
#     examples/quickstart.sh --setup [PACKAGE ...]    packages (and these), configure, build
#
# Says what it will install before it does, installs only what is missing, and may be run again at
# any time. As root, or as a user with sudo.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

build=${DROVER_BUILD:-build}
packages=(
    build-essential cmake pkg-config       # compiler and build
    libglib2.0-dev libyaml-dev libjansson-dev libsqlite3-dev libssl-dev
    libopenmpi-dev openmpi-bin             # MPI
    libopenblas-openmp-dev                 # CPU math of the trainer
    fortunes                               # 2.5 MB of English text to train on
)

usage() {
    echo "usage: examples/quickstart.sh [--setup [PACKAGE ...]]"
    echo "Installs missing Debian packages, builds into $build/, runs examples/02_gpt."
}

install_packages() {
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        return
    fi
    echo "quickstart: installing with apt-get: ${missing[*]}"
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            echo "quickstart: run this as root, or install sudo, or install the packages above" >&2
            exit 1
        }
        sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${missing[@]}" >/dev/null
}

case "${1-}" in
"") ;;
--setup) packages+=("${@:2}") ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac
command -v apt-get >/dev/null || {
    echo "quickstart: needs apt-get (Debian, Ubuntu); README.md names what to install elsewhere" >&2
    exit 1
}

install_packages
echo "quickstart: configuring $build/"
cmake -B "$build" -S . | sed -n '/optional parts/,/Slurm/p'
echo "quickstart: building"
cmake --build "$build" -j "$(nproc)"
echo "quickstart: built $build/bin/drover"
if [ "${1-}" = --setup ]; then
    exit 0
fi
echo "quickstart: $build/bin/drover run examples/02_gpt/job.yaml"
exec "$build/bin/drover" run examples/02_gpt/job.yaml
