#!/usr/bin/env bash
# The object cache: the same bytes with and without it, also where a file of it is damaged or cannot be written.
. "$(dirname "$0")/common.sh"
net=$source_dir/examples/lecture.net
objects() { ls "$XDG_CACHE_HOME/mlpc" | wc -l; }

$mlpc "$net" --no-cache -o plain.o
[ ! -e "$XDG_CACHE_HOME/mlpc" ] || fail "--no-cache keeps objects"
$mlpc "$net" -o first.o
[ "$(objects)" = 1 ] || fail "an object is not kept"
$mlpc "$net" --time-report -o second.o 2>report.txt
grep -q codegen report.txt && fail "an object that is kept is compiled again"
grep -q cache report.txt || fail "the time report does not name the cache"
cmp plain.o first.o || fail "the first object differs"
cmp plain.o second.o || fail "the object from the cache differs"

file=$(echo "$XDG_CACHE_HOME"/mlpc/*)
cp "$file" whole
damage() { # HOW: the file as it is now is no object
  $mlpc "$net" -o damaged.o
  cmp plain.o damaged.o || fail "a file that was $1 is believed"
  cmp "$file" whole || fail "a file that was $1 is not replaced"
}
: >"$file"
damage emptied
head -c 1000 whole >"$file"
damage "cut off"
{ head -c 2000 whole; printf x; tail -c +2002 whole; } >"$file"
damage changed

$mlpc "$source_dir/examples/fashion.net" -o other.o
[ "$(objects)" = 2 ] || fail "another program shares a file"

rm -r "$XDG_CACHE_HOME/mlpc"
for i in 1 2 3 4; do $mlpc "$net" -o "together$i.o" & done
wait
for i in 1 2 3 4; do cmp plain.o "together$i.o" || fail "compilations at one time disturb each other"; done
[ "$(objects)" = 1 ] || fail "compilations at one time leave other files behind"

: >not_a_directory
XDG_CACHE_HOME=$work/not_a_directory $mlpc "$net" -o unkept.o || fail "a cache that cannot be written is an error"
cmp plain.o unkept.o || fail "without a cache the object differs"
