#!/usr/bin/env bash
# The functions that are emitted inline (exp, tanh, …) at every f32: each keeps its bound, and lanes have the bits of scalars.
# Needs a build: CODEGEN_TEST names its codegen_test, by default the release build's. Takes half an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
MLPC_EXHAUSTIVE=1 exec "${CODEGEN_TEST:-build/release/codegen_test}" -s -tc="every function keeps its bound*"
