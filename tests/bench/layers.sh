#!/usr/bin/env bash
# layers.sh [FEW MANY [PRODUCT…]]: what it costs to compile a net of FEW (100) and of MANY (1000) dense layers, no two of
# equal shapes, with a stack of 512 KB: CPU seconds to each product (kernels, so), and their ratio.
# Needs a build: MLPC names the tool, by default the release build's.
set -euo pipefail
mlpc=$(realpath "${MLPC:-$(dirname "$0")/../../build/release/mlpc}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ulimit -s 512

# Widths alternate between 32 low ones and a high one, which changes when all low ones were there.
net() {
  local i
  echo "model layers { input x[B, 8]; input y[B] : i32; h0 = x"
  for ((i = 0; i < $1; ++i)); do
    echo "h$((i + 1)) = h$i |> dense($((i % 2 ? 40 + i / 64 : 8 + i / 2 % 32)), tanh)"
  done
  echo "z = h$1 |> dense(10)"
  echo "loss ce = mean(cross_entropy(z, y)); train { optimizer = sgd(lr = 1e-3); batch = 32 } }"
}

# cpu_seconds COMMAND…: of the command and its threads.
cpu_seconds() {
  local TIMEFORMAT="%U %S"
  { time "$@" 2>&3; } 2>&1 | awk '{print $1 + $2}'
}
exec 3>&2

few=${1:-100}
many=${2:-1000}
products=("${@:3}")
[ ${#products[@]} -gt 0 ] || products=(kernels so)
for product in "${products[@]}"; do
  for count in "$few" "$many"; do
    net "$count" >layers.net
    seconds[count]=$(cpu_seconds env XDG_CACHE_HOME="$work/cache$count" "$mlpc" layers.net -o "layers.$product")
  done
  awk -v p="$product" -v a="$few" -v b="$many" -v s="${seconds[few]}" -v t="${seconds[many]}" \
    'BEGIN { printf "%-8s %d layers %.2f s, %d layers %.2f s: %.1f times\n", p, a, s, b, t, t / s }'
done
