#include "runtime/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "runtime/error.h"

namespace mlpc::runtime {
namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  int close() {
    const int result = ::close(number_);
    number_ = -1;
    return result;
  }

 private:
  int number_;
};

[[noreturn]] void fail_with_errno(const std::string& path, const char* doing) {
  const int code = errno;
  fail(path, "cannot {}: {}", doing, std::strerror(code));
}

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), 1U << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_with_errno(path, "write");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

/// Through links: renaming over a link would replace the link.
std::string resolved(const std::string& path) {
  std::error_code problem;
  const auto target = std::filesystem::canonical(path, problem);
  if (!problem) return target.string();
  if (std::filesystem::is_symlink(path, problem)) fail(path, "is a link to what is not there");
  return path;
}

bool is_standard_output(const struct stat& status) {
  struct stat output{};
  return ::fstat(STDOUT_FILENO, &output) == 0 && output.st_dev == status.st_dev &&
         output.st_ino == status.st_ino;
}

void write_standard_output(std::span<const std::span<const std::byte>> parts) {
  std::fflush(stdout);
  for (const auto& part : parts) write_all(STDOUT_FILENO, part, "standard output");
}

void sync_directory_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const Descriptor directory(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A directory on a file system that cannot be synced still holds the file.
  if (directory.get() >= 0) static_cast<void>(::fsync(directory.get()));
}

void write_directly(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() < 0) fail_with_errno(path, "open for writing");
  for (const auto& part : parts) write_all(file.get(), part, path);
}

void write_and_sync(const std::string& beside, const std::string& path,
                    std::span<const std::span<const std::byte>> parts) {
  Descriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.get() < 0) fail_with_errno(path, "create");
  for (const auto& part : parts) write_all(file.get(), part, path);
  if (::fsync(file.get()) != 0) fail_with_errno(path, "write");
  if (file.close() != 0) fail_with_errno(path, "write");
}

}  // namespace

Bytes read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail_with_errno(path, "open");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) fail_with_errno(path, "read");
  if (!S_ISREG(status.st_mode)) fail(path, "is not a regular file");
  Bytes out(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n =
        ::read(file.get(), out.data() + done, std::min<std::size_t>(out.size() - done, 1U << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_with_errno(path, "read");
    if (n == 0) fail(path, "became shorter while it was read");
    done += static_cast<std::size_t>(n);
  }
  return out;
}

void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  if (path == "-") return write_standard_output(parts);
  struct stat status{};
  const bool is_there = ::stat(path.c_str(), &status) == 0;
  if (is_there && is_standard_output(status)) return write_standard_output(parts);  // /dev/stdout
  const std::string target = resolved(path);
  if (is_there && !S_ISREG(status.st_mode)) {
    if (S_ISDIR(status.st_mode)) fail(path, "is a directory");
    return write_directly(target, parts);
  }
  const std::string beside = fmt::format("{}.{}.tmp", target, ::getpid());
  try {
    write_and_sync(beside, path, parts);
    if (::rename(beside.c_str(), target.c_str()) != 0) fail_with_errno(path, "rename the new file");
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  sync_directory_of(target);
}

void write_file(const std::string& path, std::span<const std::byte> content) {
  const std::span<const std::byte> parts[] = {content};
  write_file(path, parts);
}

void check_writable(const std::string& path) {
  const auto parent = std::filesystem::path(resolved(path)).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  if (std::filesystem::is_directory(path)) fail(path, "is a directory");
  if (::access(directory.c_str(), W_OK | X_OK) != 0) fail_with_errno(path, "create");
}

void make_directory(const std::string& path) {
  std::error_code problem;
  std::filesystem::create_directories(path, problem);
  if (problem) fail(path, "cannot make the directory: {}", problem.message());
  if (!std::filesystem::is_directory(path)) fail(path, "is not a directory");
}

}  // namespace mlpc::runtime
