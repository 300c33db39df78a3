#pragma once

#include <string>
#include <string_view>

#include "compiler/frontend/value.h"
#include "ir/builder.h"

namespace mlpc::frontend {

/// What a draw is a function of, besides its stream and the element's index.
struct Draw {
  ir::ValueId seed, step, turns, row_offset;  // i64[]; see the op `uniform`
};

/// The random stream of a tensor: FNV-1a of its role and path.
std::int64_t stream_of(std::string_view role, std::string_view path);

/// A path without turns: every turn of a loop draws from one stream, at its own turn.
std::string without_turns(std::string_view path);

/// A tensor of the distribution.
ir::ValueId drawn(ir::Builder& b, const ir::Type& type, const Distribution& from, std::int64_t stream,
                  const Draw& draw);

}  // namespace mlpc::frontend
