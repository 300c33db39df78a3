#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "ir/evaluate.h"
#include "ir/program.h"
#include "tests/support/random_nodes.h"

namespace mlpc::testing {

/// The free dim of random programs, and the extents at which they are tame; they run at 0, too.
inline constexpr const char* kFreeDim = "N";
inline constexpr std::int64_t kFreeExtents[] = {1, 7, 65};

/// What has been drawn so far.
struct DrawCounts {
  std::map<ir::Op, std::size_t> ops;  // how often each op was applied
  /// How often an op of the second kind of lowering read one of the first, by the kinds' indexes: of what was
  /// drawn, or in the place of that what the caller found in the graphs that the passes made of it.
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> pairs;
  /// How often a node was sought that would make the pair.
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> trials;
};

/// Whether inputs and results may have the type: their extents are numbers or dims, no sums or products.
bool has_table_form(const ir::Type& type);

/// Whether random programs have the op: all but the parameter, and derivatives, which are expanded.
bool is_drawn(ir::Op op);

/// Whether kernels are made of the op itself: it is drawn, and not written in simpler ops before lowering.
bool reaches_kernels(ir::Op op);

/// Whether an op of the second kind of lowering may read one of the first, by their indexes: random numbers
/// read scalars of i64, a contraction is of floats, and a fold, a scatter and a running value have an axis.
bool may_meet(std::size_t producer, std::size_t consumer);

/// A program of stage graph: `forward`, of about `node_count` ops drawn by type from the whole table, those
/// that `counts` has least of first, or so that kinds of lowering meet that it has met least, with a loss
/// over all values that no other op reads, an output, a metric and a state; `loss`, the same without the
/// state; and `update`, which moves parameters and slots by the gradients. With the values of `arguments_for`
/// the forward graph is tame: everywhere finite, moderate, and away from jumps, kinks and poles, so that
/// results are the same up to rounding however they are computed, and difference quotients are derivatives.
ir::Program random_program(std::size_t node_count, ir::ElementType floats, Random& random,
                           DrawCounts& counts);

/// The same in f64, without a count.
ir::Program random_program(std::size_t node_count, Random& random);

/// The program with another forward graph; `loss` follows.
ir::Program with_forward(ir::Program program, ir::Graph forward);

/// Values for all parameters of a graph where the free dim is `extent`, the same for the same (role, index)
/// in every graph of a program.
std::vector<ir::HostTensor> arguments_for(const ir::Graph& graph, std::int64_t extent);
/// The same for other free dims.
std::vector<ir::HostTensor> arguments_for(const ir::Graph& graph,
                                          const std::function<std::int64_t(std::string_view)>& value_of);

}  // namespace mlpc::testing
