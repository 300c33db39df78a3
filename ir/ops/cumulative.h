#pragma once

#include <cstddef>

#include "ir/builder.h"

namespace mlpc::ir::ops {

/// Of each element the one of the turn before along the axis (the one behind it where `reverse`); of the
/// first turn's element, `first`.
ValueId turn_before(Builder& b, ValueId x, std::size_t axis, bool reverse, double first);

}  // namespace mlpc::ir::ops
