#!/usr/bin/env bash
# Everything from nothing: installs, builds, and runs all tests; ctest's summary is the last thing printed.
# Arguments go to ctest (tests/run.sh -R lowering).
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh

build() { # PRESET TARGET…
  local preset=$1
  shift
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" --target "$@"
}
build release all
build asan all          # its test programs are ctest entries of the release build, asan.*
build tsan runtime_test # only the runtime has threads

ctest --test-dir build/release --output-on-failure -j "$(nproc)" "$@"
