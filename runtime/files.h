#pragma once

#include <span>
#include <string>

#include "runtime/tensor.h"

namespace mlpc::runtime {

/// The whole of a regular file.
Bytes read_file(const std::string& path);

/// Writes beside `path`, then renames, so that a reader sees the old file or the whole new one, even after a
/// crash. "-" is standard output. That, devices and pipes are written directly: renaming would replace them,
/// or what others have written there.
void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts);
void write_file(const std::string& path, std::span<const std::byte> content);

/// Throws now what write_file would throw after hours of work: no such directory, or no permission.
void check_writable(const std::string& path);

/// Makes the directory and its parents, if they are not there.
void make_directory(const std::string& path);

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view text_in(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace mlpc::runtime
