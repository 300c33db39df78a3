#include "compiler/codegen/kernel_transpose.h"

namespace mlpc::codegen {
namespace {

using Values = std::vector<llvm::Value*>;
using Lanes = llvm::SmallVector<int, 64>;

/// Turns each square block: the vectors are n rows of lanes / n blocks of n × n, side by side. Stage d swaps
/// the off-diagonal quarters of blocks of 2d × 2d.
void turn_blocks(llvm::IRBuilder<>& builder, Values& rows, int lanes) {
  const int n = static_cast<int>(rows.size());
  for (int d = n / 2; d >= 1; d /= 2) {
    Lanes low, high;
    for (int lane = 0; lane < lanes; ++lane) {
      const bool right = (lane & d) != 0;
      low.push_back(right ? lanes + lane - d : lane);
      high.push_back(right ? lanes + lane : lane + d);
    }
    for (int i = 0; i < n; ++i) {
      if (i & d) continue;
      llvm::Value*& upper = rows[static_cast<std::size_t>(i)];
      llvm::Value*& lower = rows[static_cast<std::size_t>(i + d)];
      llvm::Value* turned = builder.CreateShuffleVector(upper, lower, low);
      lower = builder.CreateShuffleVector(upper, lower, high);
      upper = turned;
    }
  }
}

/// One vector of all of them, in order; their number is a power of two.
llvm::Value* joined(llvm::IRBuilder<>& builder, Values parts, int lanes) {
  while (parts.size() > 1) {
    Lanes both;
    for (int lane = 0; lane < 2 * lanes; ++lane) both.push_back(lane);
    Values halves;
    for (std::size_t i = 0; i < parts.size(); i += 2)
      halves.push_back(builder.CreateShuffleVector(parts[i], parts[i + 1], both));
    parts = std::move(halves);
    lanes *= 2;
  }
  return parts[0];
}

}  // namespace

Values columns_of_rows(llvm::IRBuilder<>& builder, Values rows, int columns) {
  const auto block = static_cast<std::size_t>(columns);
  Values result;
  for (std::size_t row = 0; row < block; ++row) {
    Values parts;
    for (std::size_t i = row; i < rows.size(); i += block) parts.push_back(rows[i]);
    result.push_back(joined(builder, std::move(parts), columns));
  }
  turn_blocks(builder, result, static_cast<int>(rows.size()));
  return result;
}

Values rows_of_columns(llvm::IRBuilder<>& builder, Values columns, int row_count) {
  const int block = static_cast<int>(columns.size());
  turn_blocks(builder, columns, row_count);
  Values rows;
  for (int row = 0; row < row_count; ++row) {
    Lanes lanes;
    for (int lane = 0; lane < block; ++lane) lanes.push_back(row / block * block + lane);
    llvm::Value* joined_rows = columns[static_cast<std::size_t>(row % block)];
    rows.push_back(block == row_count ? joined_rows : builder.CreateShuffleVector(joined_rows, lanes));
  }
  return rows;
}

}  // namespace mlpc::codegen
