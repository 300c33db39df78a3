#!/usr/bin/env bash
# long.sh [N [FIRST]]: N random programs (default 100,000) from seed FIRST on; prints the smallest failing graph.
# One in eight is compiled as products are, the others with little effort: 0.1 s each, so that N take three hours.
# Needs a build: PROPERTY_TEST names its property_test, by default the release build's.
set -euo pipefail
cd "$(dirname "$0")/../.."
MLPC_LITTLE_EFFORT=1 MLPC_PROGRAMS=${1:-100000} MLPC_SEED=${2:-0} exec \
  "${PROPERTY_TEST:-build/release/property_test}" -tc="random programs give*"
