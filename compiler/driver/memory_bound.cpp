#include "compiler/driver/memory_bound.h"

#include <algorithm>

#include "compiler/driver/extents.h"
#include "compiler/lowering/lower.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/pipeline.h"
#include "ir/error.h"
#include "ir/workspace.h"

namespace mlpc::driver {
namespace {

constexpr std::int64_t kMostSegments = 256;
constexpr std::string_view kOption = "--memory";

std::int64_t bytes_in(std::string_view text) {
  constexpr std::string_view kUnits = "KMG";
  const std::size_t unit = text.empty() ? kUnits.npos : kUnits.find(text.back());
  if (unit == kUnits.npos) return positive(text, kOption);
  const std::int64_t count = positive(text.substr(0, text.size() - 1), kOption);
  const auto shift = static_cast<int>(10 * (unit + 1));
  if (count > INT64_MAX >> shift) fail("--memory: `{}` is too large", text);
  return count << shift;
}

/// The greatest workspace of the entries that have a backward part.
std::int64_t workspace_bytes(const ir::Program& joint, const MemoryBound& bound, int level) {
  std::int64_t most = 0;
  for (const ir::LoweredEntry& entry : lowering::lower(joint, {level}).entries) {
    if (entry.name != "grad" && entry.name != "train_step") continue;
    const auto layout = ir::lay_out(entry.slots, [&](std::string_view dim) { return bound.extent(dim); });
    if (!layout) fail("--memory: the workspace of {} is too large", entry.name);
    most = std::max(most, layout->bytes);
  }
  return most;
}

}  // namespace

std::int64_t MemoryBound::extent(std::string_view dim) const {
  const auto found = std::ranges::find(dims, dim, &lowering::Extents::value_type::first);
  if (found == dims.end()) fail("--memory needs an extent of each free dim: --memory={},{}=…", bytes, dim);
  return found->second;
}

ir::Program within_memory(const ir::Program& program, const MemoryBound& bound, int level) {
  for (const std::string& dim : program.dims) bound.extent(dim);
  // Masks are then read from what is kept, not from what would have to be computed again for them.
  const ir::Program canonical = passes::canonicalize(program);
  std::int64_t least = INT64_MAX;
  for (std::int64_t segments = 1; segments <= kMostSegments; segments *= 2) {
    ir::Program candidate = passes::recompute_segments(
        canonical, segments, [&](std::string_view dim) { return bound.extent(dim); });
    const std::int64_t bytes =
        workspace_bytes(passes::run_pipeline(candidate, ir::Stage::joint), bound, level);
    if (bytes <= bound.bytes) return candidate;
    least = std::min(least, bytes);
  }
  fail("--memory: the gradient needs a workspace of {} bytes, and {} are allowed", least, bound.bytes);
}

MemoryBound parse_memory_bound(const std::string& text) {
  const std::size_t comma = text.find(',');
  MemoryBound out{bytes_in(std::string_view(text).substr(0, comma)), {}};
  if (comma != std::string::npos) out.dims = parse_extents(std::string_view(text).substr(comma + 1), kOption);
  return out;
}

}  // namespace mlpc::driver
