#include "compiler/codegen/kernel_transpose.h"

#include <array>
#include <utility>

namespace mlpc::codegen {
namespace {

using Values = std::vector<llvm::Value*>;
using Lanes = llvm::SmallVector<int, 64>;

/// Where a lane comes from: of the upper or the lower of two rows.
struct Source {
  bool from_lower;
  int lane;
};

/// Every pair of rows that differ in bit `row_bit` of their numbers becomes two vectors made of both, by
/// origin(lane, is_second).
template <typename Origin>
void mix_pairs(llvm::IRBuilder<>& builder, Values& rows, int lanes, int row_bit, Origin origin) {
  for (int i = 0; i < static_cast<int>(rows.size()); ++i) {
    if (i & row_bit) continue;
    llvm::Value*& upper = rows[static_cast<std::size_t>(i)];
    llvm::Value*& lower = rows[static_cast<std::size_t>(i + row_bit)];
    std::array<Lanes, 2> masks;
    for (const bool second : {false, true})
      for (int lane = 0; lane < lanes; ++lane) {
        const Source source = origin(lane, second);
        masks[second].push_back(source.lane + (source.from_lower ? lanes : 0));
      }
    llvm::Value* first = builder.CreateShuffleVector(upper, lower, masks[0]);
    lower = builder.CreateShuffleVector(upper, lower, masks[1]);
    upper = first;
  }
}

int with_bit(int number, int bit, bool is_set) { return is_set ? number | bit : number & ~bit; }

/// Bit d of the row's number and of the lane's change places.
void swap_bit(llvm::IRBuilder<>& builder, Values& rows, int lanes, int d) {
  mix_pairs(builder, rows, lanes, d,
            [&](int lane, bool second) { return Source{(lane & d) != 0, with_bit(lane, d, second)}; });
}

/// As swap_bit for d and 2d, inside 128 bits: unpcklps and unpckhps (zip1 and zip2), then unpcklpd and
/// unpckhpd. The first moves lane bit d up to 2d, so that the rows come out in another order.
void swap_low_bits(llvm::IRBuilder<>& builder, Values& rows, int lanes, int d) {
  mix_pairs(builder, rows, lanes, d, [&](int lane, bool second) {
    return Source{(lane & d) != 0, with_bit(with_bit(lane, d, (lane & 2 * d) != 0), 2 * d, second)};
  });
  swap_bit(builder, rows, lanes, 2 * d);
  for (int i = 0; i < static_cast<int>(rows.size()); ++i)
    if ((i & d) && !(i & 2 * d))
      std::swap(rows[static_cast<std::size_t>(i)], rows[static_cast<std::size_t>(i + d)]);
}

/// As swap_bit for d and 2d, the highest: vshuff32x4 twice, which take two quarters of each operand.
void swap_high_bits(llvm::IRBuilder<>& builder, Values& rows, int lanes, int d) {
  for (const int row_bit : {d, 2 * d})
    mix_pairs(builder, rows, lanes, row_bit, [&](int lane, bool second) {
      return Source{(lane & 2 * d) != 0, with_bit(with_bit(lane, 2 * d, (lane & d) != 0), d, second)};
    });
}

/// Turns each square block: the vectors are n rows of lanes / n blocks of n × n, side by side; all bits of a
/// row's number change places with those of the lane's. In pairs where a processor has instructions for that;
/// for other shuffles LLVM searches long.
void turn_blocks(llvm::IRBuilder<>& builder, Values& rows, int lanes) {
  const int n = static_cast<int>(rows.size());
  const int quarter = 128 / static_cast<int>(rows[0]->getType()->getScalarSizeInBits());
  for (int d = 1; d < n; d *= 2) {
    const bool has_pair = 2 * d < n;
    if (has_pair && 2 * d < quarter)
      swap_low_bits(builder, rows, lanes, d);
    else if (has_pair && d == quarter && 4 * d == lanes)
      swap_high_bits(builder, rows, lanes, d);
    else {
      swap_bit(builder, rows, lanes, d);
      continue;
    }
    d *= 2;
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
