#!/usr/bin/env bash
# A smoke run of the bench, mlpc alone: a table, and rows of JSON.
. "$(dirname "$0")/common.sh"
BENCH_BUILD=$(dirname "$mlpc") "$source_dir/tests/bench/run.sh" --quick --no-peers --only mlp64_b32 --json rows.json >table.txt
[ "$(grep -c '^mlp64_b32' table.txt)" = 4 ] || fail "the table has not a row for each kind and number of threads"
python3 - <<'E2' || fail "rows.json is not what the bench promises"
import json
rows = json.load(open("rows.json"))
keys = "net threads kind ours_us peer peer_us ratio peak_fraction compile_s so_bytes peak_bytes".split()
assert [(r["kind"], r["threads"]) for r in rows] == [("step", 1), ("infer", 1), ("step", 2), ("infer", 2)]
assert all(list(r) == keys and r["ours_us"] > 0 and r["peer"] is None and r["peak_bytes"] > 0 for r in rows)
E2
if BENCH_BUILD=$(dirname "$mlpc") "$source_dir/tests/bench/run.sh" --no-peers --only nothing 2>/dev/null; then fail "a net that does not exist is measured"; fi
