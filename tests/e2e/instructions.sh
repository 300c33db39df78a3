#!/usr/bin/env bash
# The instructions of the main kernels are no more than those recorded in instructions.txt, within 2 %: executed ones under
# callgrind for AVX2, and multiply-adds, loads and spills in the code for AVX-512. Counts, so no clock and no neighbour matters.
#   MLPC_UPDATE_COUNTS=1 tests/e2e/instructions.sh    records them anew; a reviewer reads the diff
. "$(dirname "$0")/common.sh"
recorded=$source_dir/tests/e2e/instructions.txt
command -v valgrind >/dev/null || fail "valgrind is missing, which counts instructions: tests/setup.sh installs it"

net() { # NAME BODY: a classifier whose logits the body gives
  printf 'model %s {\n%s\n  loss ce = mean(cross_entropy(z, y))\n  train { optimizer = sgd(lr = 0.01) }\n}\n' "$1" "$2" >"$1.net"
}
net dense '  input x[B, 96]; input y[B] : i32
  z = x |> dense(128, relu) |> dense(80)
  output p = z'
net softmax '  input x[B, 250]; input y[B] : i32
  param g[250] = 1
  z = x * g
  output p = softmax(z)'
net conv '  input x[B, 16, 12, 12]; input y[B] : i32
  z = mean(x |> conv(32, 3) |> relu |> conv(32, 3), axis = [2, 3])
  output p = z'
net lstm '  input x[B, T, 32]; input y[B] : i32
  h = x |> lstm(48)
  z = h[:, -1]
  output p = z'
net norm '  input x[B, 200]; input y[B] : i32
  z = x |> layernorm()
  output p = z'

executed() { # NAME EXTENT…: instructions of one inference, and of two steps
  local name=$1
  shift
  $mlpc "$name.net" --cpu=x86-64-v3 -o "$name.o"
  gcc -O1 -I"$source_dir/runtime" -DMODEL="${name}_model" "$source_dir/tests/e2e/any_model.c" "$name.o" -lm -o "$name"
  valgrind --quiet --tool=callgrind --callgrind-out-file="$name.out" --toggle-collect="${name}_infer" \
    --toggle-collect="${name}_train_step" "./$name" "$@" >/dev/null 2>valgrind.txt || fail "valgrind: $(cat valgrind.txt)"
  callgrind_annotate --inclusive=yes --threshold=100 "$name.out" | tr -d , >annotated.txt
  local entry
  for entry in infer train_step; do
    awk -v name="$name" -v entry="$entry" '$0 ~ ":" name "_" entry "( |$)" {print "avx2", name, entry, "executed", $1; exit}' annotated.txt
  done
}

written() { # NAME: what the code of its kernels consists of
  $mlpc "$1.net" --cpu=x86-64-v4 --emit=asm -o "$1.s"
  awk -v name="$1" '
    /^[a-zA-Z_][a-zA-Z_0-9.]*:/ { in_kernel = /^k[0-9]+:/ }
    in_kernel && /^\t[a-z]/ {
      ++instructions
      if ($1 ~ /^vfn?m(add|sub)/) ++fmas
      if (/\(%r[^s]/ && $1 ~ /^v/ && !/, [-0-9]*\(%r[^)]*\)$/) ++loads
      if (/\(%rsp/) ++spills
    }
    END {
      print "avx512", name, "kernels", "instructions", instructions
      print "avx512", name, "kernels", "multiply-adds", fmas + 0
      print "avx512", name, "kernels", "loads", loads + 0
      print "avx512", name, "kernels", "spills", spills + 0
    }' "$1.s"
}

{
  executed dense 52
  executed softmax 37
  executed conv 3
  executed lstm 9 7
  executed norm 37
  for name in dense softmax conv lstm norm; do written $name; done
} >counts.txt
[ "$(grep -c executed counts.txt)" = 10 ] || fail "callgrind did not see all entries: $(cat counts.txt)"
if [ -n "${MLPC_UPDATE_COUNTS:-}" ]; then
  cp counts.txt "$recorded"
  exit 0
fi
awk '
  NR == FNR { old[$1 " " $2 " " $3 " " $4] = $5; next }
  {
    key = $1 " " $2 " " $3 " " $4
    seen[key]
    if (!(key in old)) print key ": is not recorded"
    else if ($5 > 1.02 * old[key] + 4) print key ": " $5 ", recorded: " old[key]
    else if ($5 < 0.95 * old[key] - 4) print key ": only " $5 " of " old[key] ": record them anew" >"/dev/stderr"
  }
  END { for (key in old) if (!(key in seen)) print key ": is recorded, and gone" }' "$recorded" counts.txt >worse.txt
[ ! -s worse.txt ] || fail "more instructions than recorded (MLPC_UPDATE_COUNTS=1 records them anew):
$(cat worse.txt)"
