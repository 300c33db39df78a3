#pragma once

#include <string>

#include "runtime/tensor.h"

namespace mlpc::runtime {

/// The IDX format of MNIST (LeCun): two zero bytes, a type, a rank, big-endian extents and elements.
/// i8 and i16 become i32, which holds them all. Strict: the file ends with the data.
Tensor parse_idx(std::span<const std::byte> file, const std::string& where);
bool is_idx(std::span<const std::byte> file);

/// The same, compressed: one or several gzip members, their check sums verified.
Tensor parse_idx_gz(std::span<const std::byte> file, const std::string& where);
bool is_gzip(std::span<const std::byte> file);

}  // namespace mlpc::runtime
