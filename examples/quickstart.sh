#!/usr/bin/env bash
# The main job on a fresh Debian 12: installs what is missing, builds mlpc, trains examples/fashion.net on all of
# Fashion-MNIST, and uses the compiled library from C and by JIT.  quickstart.sh [SEED]
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${1:-1}
tests/setup.sh
cmake --preset release >/dev/null
cmake --build --preset release --target mlpc jit

mlpc=build/release/mlpc
data=/usr/share/datasets/fashion-mnist
out=examples/out
mkdir -p "$out"
train=(img=$data/train-images-idx3-ubyte.gz y=$data/train-labels-idx1-ubyte.gz)
test=(img=$data/t10k-images-idx3-ubyte.gz y=$data/t10k-labels-idx1-ubyte.gz)

echo "== training on 60,000 images, seed $seed"
time $mlpc train examples/fashion.net "${train[@]}" --val "${test[@]}" --seed "$seed" -o $out/fashion.safetensors
echo "== the 10,000 test images"
$mlpc eval examples/fashion.net "${test[@]}" --weights $out/fashion.safetensors

echo "== compiling to a library: $out/fashion.so, $out/fashion.h"
$mlpc examples/fashion.net -o $out/fashion.so
echo "== predictions from C, with that header alone"
gunzip -c $data/t10k-images-idx3-ubyte.gz >$out/images.idx
gcc -std=c99 -O2 -Wall -Wextra -Werror -I$out examples/predict.c $out/fashion.so -Wl,-rpath,"$PWD/$out" -o $out/predict
$out/predict $out/fashion.safetensors $out/images.idx >$out/predictions.txt
head -n 5 $out/predictions.txt
echo "== the same from C++, compiled just in time"
build/release/jit examples/fashion.net predict $out/fashion.safetensors $out/images.idx >$out/predictions_jit.txt
cmp $out/predictions.txt $out/predictions_jit.txt
echo "the predictions agree, bit for bit"
