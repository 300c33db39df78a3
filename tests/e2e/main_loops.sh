#!/usr/bin/env bash
# The main loops of contractions as machine code: one turn or two of a full register tile, and next to nothing beside its
# multiply-adds, loads and broadcasts; no register is spilled.
. "$(dirname "$0")/common.sh"

# "FMAS INSTRUCTIONS SPILLS SHUFFLES" of each innermost loop in the code of kernels.
loops() { # CPU
  $mlpc "$source_dir/tests/bench/nets/mlp784.net" --cpu="$1" --emit=asm -o code.s
  awk '
    /^[a-zA-Z_][a-zA-Z_0-9.]*:/ { in_kernel = /^k[0-9]+:/ }
    /^\.LBB/ { label = $1; sub(":", "", label); fmas = instructions = spills = shuffles = 0; next }
    in_kernel && /^\t[a-z]/ {
      ++instructions
      if ($1 ~ /^vfmadd/) ++fmas
      if (/\(%rsp\)/) ++spills
      if ($1 ~ /^v(unpck|shuf)/) ++shuffles
      if ($1 ~ /^j/ && $2 == label) print fmas, instructions, spills, shuffles
    }' code.s
}

check() { # CPU FMAS INSTRUCTIONS KERNELS [SHUFFLES]
  loops "$1" | awk -v fmas="$2" -v shuffles="${5:-0}" '$1 == fmas && $4 == shuffles' >tiles.txt
  [ "$(wc -l <tiles.txt)" -ge "$4" ] || fail "$1: fewer than $4 loops have the $2 multiply-adds of a full tile"
  awk -v most="$3" '$2 > most || $3 > 0' tiles.txt >bad.txt
  [ ! -s bad.txt ] || fail "$1: a loop of a full tile has more than $3 instructions, or spills: $(sort -u bad.txt)"
}
# Two turns: 6 × 2 multiply-adds, 6 broadcasts, 2 loads and two lines asked for each, then the count, compare and branch.
check x86-64-v3 24 50 8
# One turn, for the tile is large: 6 × 4 multiply-adds, 6 broadcasts, 4 loads and 4 lines asked for, and a fifth in X'δ,
# then the pointers, compare and branch.
check x86-64-v4 24 45 6
# Rows in lanes: 8 × 2 multiply-adds, 8 broadcasts and 2 loads, with 2 lines asked for.
check x86-64-v4 16 33 2
# One row, whose weights are turned in registers: of 16 × 16 loads, 64 shuffles and 16 multiply-adds with a scalar each.
check x86-64-v4 16 100 1 64
