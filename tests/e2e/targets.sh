#!/usr/bin/env bash
# Objects for other machines are written, and call nothing.
. "$(dirname "$0")/common.sh"
for target in aarch64-linux-gnu wasm32; do
  $mlpc "$source_dir/examples/fashion.net" --target=$target -o $target.o
  [ -s $target.o ] || fail "no object for $target"
done
[ "$(head -c 20 aarch64-linux-gnu.o | od -An -tx1 -j18 -N2 | tr -d ' ')" = b700 ] || fail "the aarch64 object is for another machine"
[ "$(head -c 4 wasm32.o | tail -c 3)" = asm ] || fail "the wasm object is none"
for cpu in x86-64 x86-64-v3 x86-64-v4; do $mlpc "$source_dir/examples/lecture.net" --cpu=$cpu -o $cpu.so; done
for object in aarch64-linux-gnu.o x86-64.so; do
  undefined=$(nm -u $object 2>/dev/null || true)
  [ -z "$undefined" ] || fail "$object calls $undefined"
done
