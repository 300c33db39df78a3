#pragma once

#include "ir/builder.h"

namespace mlpc::ir::ops {

/// Whether an element's index along the last axis is the id of its row: bool[ids…, classes].
ValueId is_class(Builder& b, ValueId ids, const Shape& shape);

}  // namespace mlpc::ir::ops
