#!/usr/bin/env bash
# What makes a step: batches of several dims, and several batches.
. "$(dirname "$0")/common.sh"
idx_head 600 $fashion_data/train-images-idx3-ubyte.gz >images.idx
idx_head 600 $fashion_data/train-labels-idx1-ubyte.gz >labels.idx
data=(img=images.idx y=labels.idx)

# 600 images: 4 steps of 128 and one of 88, or of 64 twice and 64 and 24.
for settings in "128 1" "64 2"; do
  read -r batch parts <<<"$settings"
  "$mlpc" train "$source_dir/examples/fashion.net" "${data[@]}" --quiet --train.epochs=2 --train.batch=$batch --train.accumulate=$parts \
    --log log.$parts -o weights.$parts
  "$mlpc" eval "$source_dir/examples/fashion.net" "${data[@]}" --weights weights.$parts >eval.$parts
done
cmp -s weights.1 weights.2 && fail "steps of two batches have the bits of steps of one"
paste -d ' ' eval.1 eval.2 | awk '{ d = $2 - $4; if (d < 0) d = -d; if (d > 1e-4 * $2) { print; exit 1 } }' ||
  fail "steps of two batches end elsewhere than steps of one of twice the size"

/usr/bin/python3 - <<'PYTHON'
import numpy as np
random = np.random.default_rng(1)
for name, rows in (("x", 300), ("t", 300), ("x0", 50)):
    np.save(f"{name}.npy", random.random(rows))
np.save("u0.npy", np.sin(np.load("x0.npy")))
PYTHON
heat=("$mlpc" train "$source_dir/examples/heat.net" x=x.npy t=t.npy x0=x0.npy u0=u0.npy --quiet)
"${heat[@]}" --train.steps=100 --train.batch='{N: 64, M: 16}' --log log -o weights
[ "$(wc -l <log)" -eq 20 ] || fail "100 steps of 5 batches of N are not 20 epochs"
first=$(head -1 log | sed -E 's/.*"loss":([0-9.e-]+).*/\1/') last=$(tail -1 log | sed -E 's/.*"loss":([0-9.e-]+).*/\1/')
awk "BEGIN { exit !($last < 0.5 * $first) }" || fail "the loss goes from $first to $last"
"${heat[@]}" --train.steps=1 --train.batch=16 -o weights 2>error.txt && fail "16 rows of which dim?"
grep -q 'begin with different dims, N and M' error.txt || fail "$(cat error.txt)"
