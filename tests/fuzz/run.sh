#!/usr/bin/env bash
# tests/fuzz/run.sh [SECONDS [ENTRY…]]: builds the fuzzers and runs each of net, graph, kernels for that long (300).
# What they find is written to build/fuzz/findings; fixed, it belongs into tests/fuzz/corpus, whose files the tests run.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-300}
shift || true
entries=("$@")
[ ${#entries[@]} -gt 0 ] || entries=(net graph kernels)
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${entries[@]/#/fuzz_}"
mkdir -p build/fuzz/findings
for entry in "${entries[@]}"; do
  seeds=(tests/fuzz/corpus/"$entry")
  [ "$entry" != net ] || seeds+=(tests/errors examples)
  mkdir -p build/fuzz/found/"$entry"
  build/fuzz/fuzz_"$entry" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
    -dict=tests/fuzz/words.dict -artifact_prefix=build/fuzz/findings/"$entry"- build/fuzz/found/"$entry" "${seeds[@]}"
done
