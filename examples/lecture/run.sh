#!/usr/bin/env bash
# The lecture's claims, run, measured and drawn: run.sh NAME|all [--seed N] [--small] [--out DIRECTORY].
# Installs what is missing and builds mlpc first, unless MLPC names a tool. Writes numbers/, pictures/ and
# claims.md, the table of all numbers there are.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${MLPC:-}" ]; then
  cd "$here/../.."
  tests/setup.sh
  cmake --preset release >/dev/null
  cmake --build --preset release --target mlpc
fi
export OPENBLAS_NUM_THREADS=1 # the same sums on any machine, and no threads for matrices this small
exec /usr/bin/python3 -B "$here/lecture.py" "$@"
