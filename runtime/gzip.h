#pragma once

#include <zlib.h>

#include <span>
#include <string>

namespace mlpc::runtime {

/// Decompresses gzip members piece by piece, so that the caller decides how much memory the content may take.
class GzipReader {
 public:
  GzipReader(std::span<const std::byte> file, const std::string& where);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Fills as much of `out` as there is content; less than asked for means that the content has ended, and
  /// that its check sums agree.
  std::size_t read(std::span<std::byte> out);

 private:
  [[noreturn]] void bad();

  std::span<const std::byte> rest_;
  const std::string& where_;
  z_stream stream_{};
  bool is_done_ = false;
};

}  // namespace mlpc::runtime
