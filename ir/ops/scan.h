#pragma once

#include <span>
#include <vector>

#include "ir/builder.h"

namespace mlpc::ir::ops {

/// The attributes of a `scan`, and how its operands and results are cut:
///   scan(consts…, loop values…, sequences…) -> (final loop values…, stacked results…)
struct ScanSpec {
  Body body;
  Dim length;            // turns; the extent of the leading axis of sequences and stacked results
  bool reverse = false;  // turns run from length - 1 to 0; slices and stacking keep index = turn

  static ScanSpec of(const Attributes& attributes);
  Attributes attributes() const;
  std::size_t const_count() const { return body.signature().consts.size(); }
  std::size_t loop_count() const { return body.signature().loops.size(); }
  std::size_t sequence_count() const { return body.signature().sequences.size(); }
  std::size_t stacked_count() const { return body.signature().stacked.size(); }
};

/// The results of a scan.
std::vector<ValueId> scan(Builder& b, const ScanSpec& spec, std::span<const ValueId> operands);

/// Without its leading axis.
Type element_of(Type sequence);
/// With a leading axis.
Type sequence_of(Type element, Dim length);

}  // namespace mlpc::ir::ops
