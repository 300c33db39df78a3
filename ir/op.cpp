#include "ir/op.h"

#include <algorithm>
#include <array>

#include "ir/error.h"
#include "ir/ops/records.h"

namespace mlpc::ir {
namespace {

const std::array kRecords = {
#define X(name) &ops::name##_,
#include "ir/ops.def"
#undef X
};

constexpr std::array kAll = {
#define X(name) Op::name##_,
#include "ir/ops.def"
#undef X
};

}  // namespace

const OpDef& def(Op op) { return *kRecords[static_cast<std::size_t>(op)]; }

bool asks_for_derivative(Op op) { return op != Op::parameter_ && !def(op).reference; }

void check_arity(const OpDef& record, std::size_t operands) {
  if (record.arity == kArityOfBody) return;
  if (record.arity == kAnyArity ? operands == 0 : operands != record.arity)
    fail("`{}` does not take {} operands", record.name, operands);
}

std::span<const Op> all_ops() { return kAll; }

std::optional<Op> op_named(std::string_view name) {
  for (Op op : kAll)
    if (def(op).name == name) return op;
  return std::nullopt;
}

}  // namespace mlpc::ir
