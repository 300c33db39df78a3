#!/usr/bin/env bash
# The bench: run.sh [--only NAME] [--quick] [--json FILE] [--no-peers] [--threads N…]
# Builds mlpc if need be, and, unless --no-peers or BENCH_PYTHON is given, a Python environment with the peers.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BENCH_BUILD:-$root/build/release}

if [ ! -x "$build/mlpc" ] || [ ! -x "$build/bench_host" ]; then
  (cd "$root" && cmake --preset release && cmake --build "$build" --target mlpc bench_host) >&2
fi

python=${BENCH_PYTHON:-}
if [ -z "$python" ] && [[ " $* " == *" --no-peers "* ]]; then python=python3; fi
if [ -z "$python" ]; then
  venv=$root/build/bench-venv
  python=$venv/bin/python
  if [ ! -e "$venv/complete" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet numpy torch==2.13.0 jax==0.10.2 jaxlib==0.10.2 onnx onnxscript onnxruntime==1.32.0 >&2
    touch "$venv/complete"
  fi
fi
exec "$python" "$here/bench.py" --mlpc "$build/mlpc" --host "$build/bench_host" "$@"
