#!/usr/bin/env bash
# A thousand layers, no two of equal shapes, become kernels with a stack of 512 KB.
. "$(dirname "$0")/common.sh"
MLPC=$mlpc "$source_dir/tests/bench/layers.sh" 100 1000 kernels
