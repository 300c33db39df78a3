#!/usr/bin/env bash
# -O0 to -O3, JIT and library, C and the trainer, any number of workers: the same bits.
. "$(dirname "$0")/common.sh"
net=$source_dir/examples/fashion.net
rows=${ROWS:-600}
idx_head "$rows" $fashion_data/train-images-idx3-ubyte.gz >images.idx
idx_head "$rows" $fashion_data/train-labels-idx1-ubyte.gz >labels.idx
data=(img=images.idx y=labels.idx)

train() { # NAME WORKERS OPTION…
  local name=$1 workers=$2
  shift 2
  $mlpc train "$net" "${data[@]}" --train.epochs=1 --seed=3 --workers="$workers" --quiet -o "$name.safetensors" "$@"
}
train o2 1
for level in 0 1 3; do
  train o$level 1 -O$level
  cmp o2.safetensors o$level.safetensors || fail "-O$level trains to other bits"
done
$mlpc "$net" -O3 --emit=kernels | grep -q "specialized B 128 {" || fail "-O3 has no copy for the batches of train"
train special 2 --specialize B=128 --specialize B=88 # the last batch has 88 rows
cmp o2.safetensors special.safetensors || fail "--specialize trains to other bits"
train o2w2 2
train o2w3 3
cmp o2.safetensors o2w2.safetensors || fail "two workers train to other bits"
cmp o2.safetensors o2w3.safetensors || fail "three workers train to other bits"

# An epoch in C, with the header alone, and in C++ by JIT.
$mlpc "$net" -o fashion.so
gcc -std=c99 -O2 -Wall -Wextra -Werror -I. -I"$source_dir/examples" "$source_dir/examples/train.c" ./fashion.so -Wl,-rpath,"$work" -o train_c
gcc -std=c99 -O2 -Wall -Wextra -Werror -I. -I"$source_dir/examples" "$source_dir/examples/predict.c" ./fashion.so -Wl,-rpath,"$work" -o predict_c
./train_c 3 images.idx labels.idx c.bin >/dev/null
"$(dirname "$mlpc")/jit" "$net" train 3 images.idx labels.idx jit.bin >/dev/null
header=$(od -An -tu8 -N8 o2.safetensors | tr -d ' ')
head -c $((8 + header + $(stat -c %s c.bin))) o2.safetensors | tail -c +$((9 + header)) >tool.bin
cmp tool.bin c.bin || fail "the C program trains to other bits"
cmp tool.bin jit.bin || fail "the JIT program trains to other bits"

# Predictions: the tool by JIT, the tool by library without a header, and C.
$mlpc run "$net" --weights=o2.safetensors img=images.idx -o by_jit
$mlpc run fashion.so --weights=o2.safetensors img=images.idx -o by_library
cmp by_jit/p.npy by_library/p.npy || fail "the library predicts other bits"
./predict_c o2.safetensors images.idx >c.txt
"$(dirname "$mlpc")/jit" "$net" predict o2.safetensors images.idx >jit.txt
cmp c.txt jit.txt || fail "C and JIT predict other bits"
# The greatest of each row of p.npy: its bits, as C printed them.
offset=$((10 + $(od -An -tu2 -j8 -N2 by_jit/p.npy | tr -d ' ')))
tail -c +$((offset + 1)) by_jit/p.npy | od -An -v -tx4 -w40 | awk '{best = 1; for (c = 2; c <= 10; ++c) if ($c > $best) best = c; print best - 1}' >tool_classes.txt
awk '{print $1}' c.txt | cmp - tool_classes.txt || fail "the tool predicts other classes than C"
