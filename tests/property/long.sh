#!/usr/bin/env bash
# long.sh [N [FIRST]]: N random programs (default 100,000) from seed FIRST on; prints the smallest failing graph.
# They are drawn in runs of 1000, each of which is what N = 1000 with its first seed draws; a processor each runs them.
# Of each one entry is compiled, of one in eight as products are, else with little effort: 0.06 s each, so that all take
# less than two hours of a processor. Needs a build: PROPERTY_TEST names its property_test, by default the release build's.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PROPERTY_TEST=${PROPERTY_TEST:-build/release/property_test} MLPC_LITTLE_EFFORT=1
count=${1:-100000} first=${2:-0} run=1000

for ((seed = first; seed < first + count; seed += run)); do
  left=$((first + count - seed))
  echo "$seed $((left < run ? left : run))"
done | xargs -P "$(nproc)" -L 1 bash -c '
  output=$(MLPC_SEED=$0 MLPC_PROGRAMS=$1 "$PROPERTY_TEST" -tc="random programs give*" 2>&1) &&
    echo "seeds from $0: $1 programs passed" && exit
  echo "seeds from $0: FAILED"; echo "$output"; exit 255' # at which xargs starts no more
