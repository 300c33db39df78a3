#pragma once

#include <string>

#include "runtime/tensor.h"

namespace mlpc::runtime {

/// NumPy's array file (numpy.lib.format): versions 1, 2 and 3, little endian, row-major; f4 f8 i4 i8 u1 b1.
/// Strict: the header is the literal that NumPy writes, and the file ends with the data.
Tensor parse_npy(std::span<const std::byte> file, const std::string& where);
bool is_npy(std::span<const std::byte> file);

/// Version 1, as NumPy writes it: data begins at a multiple of 64 bytes.
void write_npy(const std::string& path, const TensorView& tensor);
std::string npy_header(mlpc_type type, std::span<const std::int64_t> shape);

}  // namespace mlpc::runtime
