#!/usr/bin/env bash
# faults.sh [WORD]: plants the faults of tests/faults/faults.txt (those whose names contain WORD), one at a time, in a
# copy of the sources, and demands that the test program named there fails. Exits 1 if one goes unnoticed, and 2 if
# one does not apply or does not build. The copy and its build stay in build/faults.
set -euo pipefail
cd "$(dirname "$0")/.."
word=${1:-}
tree=build/faults/tree
build=build/faults/build
export MLPC_PROGRAMS=${MLPC_PROGRAMS:-80}

# Only what differs is copied, as of now: what an earlier run planted, or built from another checkout, is built again.
mkdir -p "$tree"
git ls-files -z | while IFS= read -r -d '' path; do
  cmp -s "$path" "$tree/$path" || install -D "$path" "$tree/$path"
done
cmake -S "$tree" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="${CXX:-clang++-22}" -DCMAKE_C_COMPILER="${CC:-clang-22}" \
  -DCMAKE_CXX_FLAGS="-O0 -w" >/dev/null
cmake --build "$build" --target autodiff_test passes_test property_test driver_test >/dev/null

# Runs "PROGRAM [FILTER]" of a fault's `test` line.
run_test() {
  local program=${1%% *} filter=""
  [[ $1 == *" "* ]] && filter=${1#* }
  timeout 900 "$build/$program" --abort-after=1 -tce="a million*" ${filter:+-tc="$filter"} >"$build/faults.log" 2>&1
}

declare -A passes_without
planted=0
missed=0
plant() {
  [[ $name == *"$word"* ]] || return 0
  if [[ -z ${passes_without[$test]:-} ]]; then
    cmake --build "$build" --target "${test%% *}" >/dev/null # it may have been built with an earlier fault
    run_test "$test" || { echo "faults: $test fails without a fault"; exit 2; }
    passes_without[$test]=yes
  fi
  local before
  before=$(<"$tree/$file")
  local rest=${before/"$old"/}
  if [[ $rest == "$before" || ${rest/"$old"/} != "$rest" ]]; then
    echo "faults: \"$name\" does not apply: its text does not stand once in $file"
    exit 2
  fi
  printf '%s\n' "${before/"$old"/"$new"}" >"$tree/$file"
  cmake --build "$build" --target "${test%% *}" >"$build/faults.log" 2>&1 ||
    { echo "faults: \"$name\" does not build"; tail -20 "$build/faults.log"; exit 2; }
  planted=$((planted + 1))
  if run_test "$test"; then
    echo "MISSED  $name"
    missed=$((missed + 1))
  else
    echo "caught  $name"
  fi
  printf '%s\n' "$before" >"$tree/$file"
}

while IFS= read -r line; do
  case $line in
    "fault "*) name=${line#fault } ;;
    "file "*) file=${line#file } ;;
    "test "*) test=${line#test } ;;
    "- "*) old=${line#- } ;;
    "+ "*) new=${line#+ }; plant ;;
  esac
done <tests/faults/faults.txt
echo "$planted faults planted, $missed missed"
[[ $planted -gt 0 && $missed -eq 0 ]]
