#!/usr/bin/env bash
# All programs of the reference with any one token deleted, doubled or swapped, or a number changed: what is said of each.
set -euo pipefail
cd "$(dirname "$0")/.."
MLPC_ALL_MUTATIONS=1 "${1:-build/release/frontend_test}" -tc="a program with one token wrong*"
