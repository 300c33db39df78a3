#!/usr/bin/env bash
# For each stage whose text is read back, compiling the dump gives the object of the source byte for byte.
. "$(dirname "$0")/common.sh"
for net in fashion lecture; do
  $mlpc "$source_dir/examples/$net.net" -o source.o
  for stage in graph linear jacobian joint kernels; do
    $mlpc "$source_dir/examples/$net.net" --emit=$stage -o dump.$stage
    $mlpc dump.$stage -o dump.o
    cmp source.o dump.o || fail "$net: the $stage dump compiles to another object"
  done
done
$mlpc "$source_dir/examples/lecture.net" --emit=joint -o - | $mlpc - -o piped.o
cmp source.o piped.o || fail "a dump through a pipe compiles to another object"
$mlpc "$source_dir/examples/lecture.net" --emit=kernels --dump-dir=passes -o kernels.txt
[ "$(ls passes | wc -l)" -ge 8 ] || fail "--dump-dir wrote too few files"
