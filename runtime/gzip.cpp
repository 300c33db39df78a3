#include "runtime/gzip.h"

#include <algorithm>

#include "runtime/error.h"

namespace mlpc::runtime {

constexpr std::size_t kMost = 1U << 30;  // zlib counts in 32 bits

GzipReader::GzipReader(std::span<const std::byte> file, const std::string& where)
    : rest_(file), where_(where) {
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  if (inflateInit2(&stream_, kGzipOnly) != Z_OK) fail(where_, "no memory for decompression");
}

GzipReader::~GzipReader() { inflateEnd(&stream_); }

void GzipReader::bad() {
  fail(where_, "the compressed data is damaged{}{}", stream_.msg ? ": " : "", stream_.msg ? stream_.msg : "");
}

std::size_t GzipReader::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size() && !is_done_) {
    const std::size_t offered = std::min(rest_.size(), kMost), wanted = std::min(out.size() - done, kMost);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
    stream_.avail_in = static_cast<uInt>(offered);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    stream_.avail_out = static_cast<uInt>(wanted);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    const std::size_t taken = offered - stream_.avail_in, given = wanted - stream_.avail_out;
    rest_ = rest_.subspan(taken);
    done += given;
    if (code == Z_STREAM_END) {
      if (rest_.empty()) is_done_ = true;
      if (inflateReset(&stream_) != Z_OK) bad();
      continue;
    }
    if (code != Z_OK && code != Z_BUF_ERROR) bad();
    if (taken == 0 && given == 0) fail(where_, "the compressed data ends too early");
  }
  return done;
}

}  // namespace mlpc::runtime
