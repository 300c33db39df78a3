#!/usr/bin/env bash
# No layer is known to the compiler by its name: programs with a library whose layers and functions have other names are
# the same programs with the same table and the same machine code, once renamed back. Streams of random numbers come from
# paths, so these are numbered here.
source "$(dirname "$0")/common.sh"

names=$("$mlpc" --print-std | sed -nE 's/^(layer|fn|optimizer) ([a-z_0-9]+).*/\2/p')
[ "$(wc -w <<<"$names")" -gt 80 ] || fail "the library has $(wc -w <<<"$names") names"

# other_names KEPT: a sed script for every name of the library but those.
other_names() {
  local name
  for name in $names; do
    [[ " $1 " == *" $name "* ]] || echo "s/(^|[^.A-Za-z_0-9])$name\\b([^.:\"]|\$)/\\1other_$name\\2/g"
  done
}

# Without places in sources, and streams numbered as they come.
comparable() {
  sed -E 's/other_//g; s/^source ".*"/source "'"$(printf %064d 0)"'"/; s/ @[0-9]+/ @0/g; /^loc [^0]/d; s/^loc 0 .*/loc 0 "a.net":1:1/' "$1" | awk '{
    while (match($0, /stream=-?[0-9]+[0-9]/)) {
      stream = substr($0, RSTART, RLENGTH)
      if (!(stream in number)) number[stream] = ++count
      $0 = substr($0, 1, RSTART - 1) "stream_" number[stream] substr($0, RSTART + RLENGTH)
    }
    gsub(/stream_/, "stream="); print }'
}

for net in fashion mnist pair_vae resnet tagger tinygpt; do
  cp "$source_dir/examples/$net.net" plain.net
  cp "$source_dir/examples/blocks.net" .
  own=$(sed -nE 's/^(layer|fn|optimizer) ([a-z_0-9]+).*/\2/p' plain.net $([ $net = pair_vae ] && echo blocks.net) | tr '\n' ' ')
  "$mlpc" --print-std | sed -E "$(other_names "")" >library.net
  { echo 'use "library.net"'; sed -E "$(other_names "$own")" plain.net; } >renamed.net
  for kind in plain renamed; do
    "$mlpc" $kind.net --emit=joint >$kind.graph || fail "$net, $kind"
    comparable $kind.graph >$kind.comparable.graph
  done
  grep -q other_ renamed.graph || fail "$net: nothing was renamed"
  diff plain.comparable.graph renamed.comparable.graph | head -5 | grep . && fail "$net: another program"
  [[ $net == fashion || $net == pair_vae ]] || continue # the others take a minute, and the same text is the same code
  for kind in plain renamed; do "$mlpc" $kind.comparable.graph --no-cache -o $kind.o; done
  cmp plain.o renamed.o || fail "$net: other machine code"
done
