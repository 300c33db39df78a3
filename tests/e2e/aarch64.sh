#!/usr/bin/env bash
# What is compiled for aarch64 computes, under qemu, what this machine's code does, within rounding.
. "$(dirname "$0")/common.sh"

check() { # NET TOLERANCE "EXTENTS" OPTIONS…
  local net=$1 tolerance=$2 extents=$3 model
  shift 3
  model=$(sed -nE 's/^model ([a-z_0-9]+).*/\1/p' "$net.net")
  "$mlpc" "$net.net" "$@" -o here.o
  "$mlpc" "$net.net" "$@" --target=aarch64-linux-gnu -o there.o
  local source=("$source_dir/tests/e2e/any_model.c" -I"$source_dir/runtime" -DMODEL="${model}_model" -std=c11 -O1 -Wall -Wextra -Werror)
  clang-22 "${source[@]}" here.o -o here
  clang-22 --target=aarch64-linux-gnu -fuse-ld=lld -static "${source[@]}" there.o -o there
  ./here $extents >here.txt || fail "$net: this machine's code"
  qemu-aarch64 ./there $extents >there.txt || fail "$net: aarch64's code"
  /usr/bin/python3 - "$tolerance" <<'PYTHON' || fail "$net: aarch64 computes something else"
import sys
import numpy as np
here, there = (dict(line.split(" ", 1) for line in open(f"{name}.txt")) for name in ("here", "there"))
assert here.keys() == there.keys() and len(here) > 3, (here.keys(), there.keys())
for name in here:
    a, b = (np.array(text[name].split(), float) for text in (here, there))
    error = np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-3)
    assert a.shape == b.shape and np.isfinite(a).all() and error <= float(sys.argv[1]), (name, error)
PYTHON
}

cp "$source_dir"/examples/*.net .
sed -i 's/input x\[B, 3, 32, 32\]/input x[B, 3, 8, 8]/; s/conv(32, 3)/conv(8, 3)/; s/\[32, 64, 128\]/[8, 16]/' resnet.net
sed -i 's/embed(5000, 64)/embed(50, 12)/; s/lstm(128)/lstm(16)/; s/gru(64)/gru(8)/' tagger.net
sed -i 's/D = 128, V = 256, MAX = 128/D = 16, V = 20, MAX = 8/; s/repeat(4/repeat(1/' tinygpt.net
check fashion 1e-4 7 -D H1=24 -D H2=16
check resnet 2e-3 3
check tagger 1e-3 "3 5"
check tinygpt 1e-3 "2 6"
check heat 1e-9 "5 3"
