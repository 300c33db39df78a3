#!/usr/bin/env bash
# Wrong command lines and missing files: the first line names cause and place, the status is right, nothing is written.
. "$(dirname "$0")/common.sh"
lecture=$source_dir/examples/lecture.net
expect() { # STATUS PATTERN COMMAND…
  local status=$1 pattern=$2 got=0
  shift 2
  "$@" >out.txt 2>err.txt || got=$?
  [ "$got" -eq "$status" ] || fail "status $got, not $status: $* ($(head -1 err.txt))"
  head -1 err.txt | grep -qE "$pattern" || [ -z "$pattern" ] || fail "first line of the error: $(head -1 err.txt): $*"
}
expect 2 'nothing was asked for' $mlpc "$lecture"
expect 2 'suffix' $mlpc "$lecture" -o model.xyz
expect 2 'emit' $mlpc "$lecture" --emit=nonsense
expect 2 'O|level|between' $mlpc "$lecture" -O9 -o m.o
expect 2 'NAME=VALUE' $mlpc "$lecture" -D H -o m.o
expect 2 'bogus' $mlpc "$lecture" --bogus -o m.o
expect 2 'log' $mlpc train "$lecture" --stats -o w.safetensors
expect 2 'log-every' $mlpc train "$lecture" --log log.jsonl --log-every 0 -o w.safetensors
expect 1 'missing.net' $mlpc missing.net -o m.o
expect 1 'no target' $mlpc "$lecture" --target=pdp11 -o m.o
expect 1 'processor' $mlpc "$lecture" --cpu=486 -o m.o
expect 1 'nowhere' $mlpc "$lecture" -o nowhere/m.o
expect 1 'no const' $mlpc "$lecture" -D Q=1 -o m.o
printf 'model m {\n  const a = 1, b = 1\n  input x\n  output y = (a + b) * x\n}\n' >consts.net
$mlpc run consts.net -D a=2 -D b=3 x=1 -o out || fail "data after two -D is not taken for data"
rm -r consts.net out
# Standard output is written to, whatever it is; nothing there is replaced.
(
  echo before
  $mlpc "$lecture" --emit=graph
  $mlpc "$lecture" --emit=graph -o /dev/stdout
  rm kept.txt
  $mlpc "$lecture" --emit=graph
  echo after
  cat /proc/self/fd/3 >whole.txt
) >kept.txt 3<kept.txt
[ "$(grep -c '^mlpc.graph' whole.txt)" -eq 3 ] || fail "standard output lost a graph"
[ "$(sed -n '1p;$p' whole.txt | tr '\n' ' ')" = "before after " ] || fail "standard output lost what others wrote"
ln -s nowhere.graph link
expect 1 'link' $mlpc "$lecture" --emit=graph -o link
rm whole.txt link
printf 'model m {\n  input x[B, 3]\n  output y = x @ x\n}\n' >bad.net
expect 1 '^bad.net:3:14: error: .*matmul-extent-mismatch' $mlpc bad.net -o m.so
expect 1 'bad.net:3:14: error' $mlpc check bad.net
expect 1 '^\[$' $mlpc check bad.net --diagnostics=json
grep -q '"id":"matmul-extent-mismatch","severity":"error","file":"bad.net","line":3,"column":14' err.txt || fail "JSON: $(cat err.txt)"
expect 0 '^\[\]$' $mlpc check "$lecture" --diagnostics=json
expect 2 'diagnostics' $mlpc check bad.net --diagnostics=xml
cp bad.net fmt.net
printf 'model  m {\ninput x[B,3] # in\n  output y=x@x }' >bad.net
expect 0 '' $mlpc fmt bad.net --stdout
cmp -s bad.net fmt.net && fail 'fmt --stdout wrote'
status=0; $mlpc fmt --check bad.net fmt.net >out.txt || status=$?
[ "$status" = 1 ] && [ "$(cat out.txt)" = bad.net ] || fail "fmt --check: $status $(cat out.txt)"
$mlpc fmt bad.net && $mlpc fmt --check bad.net || fail 'fmt is not idempotent'
[ "$($mlpc fmt - <fmt.net)" = "$(cat fmt.net)" ] || fail 'fmt from standard input'
printf 'model m { a = ( }' >syntax.net
expect 1 'syntax.net:1:17: error' $mlpc fmt syntax.net fmt.net
[ "$(cat syntax.net)" = 'model m { a = ( }' ] || fail 'fmt wrote a source with errors'
rm syntax.net fmt.net
printf 'mlpc.graph 1 joint\nmodel m : f32\n' >cut.joint
expect 1 '^cut.joint:[0-9]+:[0-9]+: error' $mlpc cut.joint -o m.o
printf '\x7fELF not a model' >fake.so
expect 1 'fake.so' $mlpc info fake.so
$mlpc init "$lecture" -o w.safetensors
head -c 40 w.safetensors >cut.safetensors
expect 1 'cut.safetensors' $mlpc run "$lecture" --weights=cut.safetensors x1=1 x2=1 -o out
expect 1 'x2' $mlpc run "$lecture" --weights=w.safetensors x1=1 -o out
expect 1 'is no entry that can be asked for' $mlpc "$lecture" --entries=grad -o m.o
expect 1 'hvp needs a direction' $mlpc run "$lecture" --entry=hvp --weights=w.safetensors x1=1 x2=1 y=1 -o out
expect 1 'cut.safetensors' $mlpc run "$lecture" --entry=hvp --tangents=cut.safetensors --weights=w.safetensors x1=1 x2=1 y=1 -o out
expect 1 'has no direction' $mlpc run "$lecture" --tangents=w.safetensors --weights=w.safetensors x1=1 x2=1 -o out
expect 1 'nothing.npy' $mlpc run "$lecture" --weights=w.safetensors x1=nothing.npy x2=1 -o out
leftovers=$(ls | grep -vE '^(out.txt|err.txt|bad.net|cut.joint|fake.so|w.safetensors|cut.safetensors|cache)$' || true)
[ -z "$leftovers" ] || fail "something was half-written: $leftovers"
