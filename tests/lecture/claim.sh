#!/usr/bin/env bash
# claim.sh NAME: a claim of the lecture holds for two seeds, in a reduced size, and its numbers and pictures are there.
# That a picture has labels and legends is checked where it is saved.
set -euo pipefail
name=$1
lecture=$(cd "$(dirname "$0")/../../examples/lecture" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for seed in 1 2; do
  "$lecture/run.sh" "$name" --small --seed $seed --out "$work/$seed"
  for file in numbers/$name.json pictures/$name.svg pictures/$name.png claims.md; do
    [ -s "$work/$seed/$file" ] || { echo "FAILED: $file was not written" >&2; exit 1; }
  done
done
cmp -s "$work/1/numbers/$name.json" "$work/2/numbers/$name.json" && [ "$name" != deep_shallow ] &&
  { echo "FAILED: the seed changes nothing" >&2; exit 1; } # deep_shallow's weights are written down
exit 0
