#!/usr/bin/env bash
# Training that is interrupted and resumed ends with the bits of training that was not.
. "$(dirname "$0")/common.sh"
set -m # else a background job ignores Ctrl-C
idx_head 400 $fashion_data/train-images-idx3-ubyte.gz >images.idx
idx_head 400 $fashion_data/train-labels-idx1-ubyte.gz >labels.idx
train=("$mlpc" train "$source_dir/examples/fashion.net" img=images.idx y=labels.idx --train.epochs=400 --workers=1)
"${train[@]}" --quiet -o whole.safetensors
"${train[@]}" -o part.safetensors >log.txt 2>&1 &
pid=$!
for ((i = 0; i < 600; ++i)); do
  grep -qs 'epoch 3/' log.txt && break
  sleep 0.1
done
kill -INT $pid 2>/dev/null || fail "training ended before it could be interrupted"
status=0
wait $pid || status=$?
[ $status -eq 130 ] || fail "an interrupted training ends with status $status"
[ -s part.safetensors ] || fail "the interrupted training saved nothing"
cmp -s whole.safetensors part.safetensors && fail "nothing was left to resume"
"${train[@]}" --quiet --resume part.safetensors -o part.safetensors
cmp whole.safetensors part.safetensors || fail "resumed training ends with other bits"
