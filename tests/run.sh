#!/usr/bin/env bash
# Everything from nothing: installs, builds, and runs all tests; ctest's summary is the last thing printed.
# Arguments go to ctest (tests/run.sh -R lowering).
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh

build() { # PRESET TARGET
  cmake --preset "$1" >/dev/null
  cmake --build --preset "$1" --target "$2"
}
build release all
build asan sanitized_tests # they are ctest entries of the release build, asan.* and tsan.*
build tsan sanitized_tests

ctest --test-dir build/release --output-on-failure -j "$(nproc)" "$@"
