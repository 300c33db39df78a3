#!/usr/bin/env bash
# Training that is interrupted and resumed ends with the bits of training that was not.
. "$(dirname "$0")/common.sh"
net=$source_dir/examples/fashion.net
idx_head 1000 $fashion_data/train-images-idx3-ubyte.gz >images.idx
idx_head 1000 $fashion_data/train-labels-idx1-ubyte.gz >labels.idx
train() { $mlpc train "$net" img=images.idx y=labels.idx --train.epochs=60 --workers=1 --quiet "$@"; }
train -o whole.safetensors
train -o part.safetensors &
pid=$!
sleep 1.2
kill -INT $pid 2>/dev/null || fail "training ended before it could be interrupted"
wait $pid && fail "an interrupted training says that all is well"
[ -s part.safetensors ] || fail "the interrupted training saved nothing"
cmp -s whole.safetensors part.safetensors && fail "nothing was left to resume"
train --resume part.safetensors -o part.safetensors
cmp whole.safetensors part.safetensors || fail "resumed training ends with other bits"
