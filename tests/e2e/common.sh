# Sourced by every end-to-end test: an own directory that is gone afterwards, and the tool.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mlpc=${MLPC:-$source_dir/build/release/mlpc}
fashion_data=/usr/share/datasets/fashion-mnist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export XDG_CACHE_HOME=$work/cache

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# idx_head COUNT FILE.gz: the first COUNT rows of an IDX file, as a smaller IDX file on standard output.
idx_head() {
  local count=$1 file=$2 rank row=1 axis extent
  gunzip -c "$file" >whole.idx
  rank=$(od -An -tu1 -j3 -N1 whole.idx | tr -d ' ')
  for ((axis = 1; axis < rank; ++axis)); do
    extent=$(od -An -tu1 -j$((4 + 4 * axis)) -N4 whole.idx | awk '{print (($1 * 256 + $2) * 256 + $3) * 256 + $4}')
    row=$((row * extent))
  done
  head -c 4 whole.idx
  printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((count >> 24 & 255)) $((count >> 16 & 255)) $((count >> 8 & 255)) $((count & 255)))"
  head -c $((8 + 4 * (rank - 1) + count * row)) whole.idx | tail -c +9
  rm whole.idx
}
