#!/usr/bin/env bash
# long.sh [N [FIRST]]: N random programs (default 100,000) from seed FIRST on; prints the smallest failing graph.
# Needs a build: PROPERTY_TEST names its property_test, by default the release build's.
set -euo pipefail
cd "$(dirname "$0")/../.."
MLPC_PROGRAMS=${1:-100000} MLPC_SEED=${2:-0} exec "${PROPERTY_TEST:-build/release/property_test}" \
  -tc="random programs give*"
