#pragma once

#include "ir/op.h"

namespace mlpc::ir::ops {

#define X(name) extern const OpDef name##_;
#include "ir/ops.def"
#undef X

}  // namespace mlpc::ir::ops
