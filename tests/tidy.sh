#!/usr/bin/env bash
# clang-tidy over all sources, or those given; needs `clang-tidy-22` and a configured release build.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-tidy-22 >/dev/null || { echo "tidy: install clang-tidy-22" >&2; exit 1; }
[ -f build/release/compile_commands.json ] || cmake --preset release >/dev/null
if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(git ls-files '*.cpp'); fi
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy-22 -p build/release --quiet
