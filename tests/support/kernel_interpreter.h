#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::testing {

/// Which bytes of a call's memory hold values.
class MemoryNotes {
 public:
  /// A piece of memory, of the caller's values or of nobody's yet.
  void add(const std::byte* from, std::size_t bytes, bool holds_values);
  /// Before memory that was added goes.
  void remove(const std::byte* from) { regions_.erase(from); }
  /// These two throw mlpc::Error for bytes that were not added.
  bool holds_value(const std::byte* from, std::size_t bytes);
  void write(const std::byte* to, std::size_t bytes);

 private:
  std::vector<bool>* region_of(const std::byte* at, std::size_t bytes, std::size_t& offset);
  std::map<const std::byte*, std::vector<bool>> regions_;
};

/// Which tasks read and wrote each element. Tasks may run at the same time, so what one writes, no other may
/// touch.
class TaskAccesses {
 public:
  static constexpr std::int64_t kNobody = -1, kEverybody = -2;  // kEverybody: before the tasks' loops

  /// Whether the access is free of conflicts with those before.
  bool read(const std::byte* at, std::int64_t task);
  bool write(const std::byte* at, std::int64_t task);

 private:
  struct Touch {
    std::int64_t reader = kNobody, writer = kNobody;
  };
  std::unordered_map<const std::byte*, Touch> touches_;
};

/// One task of a kernel, and what the tasks of its phase touched.
struct OneTask {
  std::int64_t number;
  TaskAccesses& accesses;
};

/// Runs a kernel turn by turn, in the order of its text: what every schedule must give, bit for bit; exp and
/// the like are the standard library's.
///   buffers : the memory of the kernel's buffers, changed in place
///   notes   : of all that memory; null: what is read before it is written goes unnoticed
///   task    : null: all tasks
/// Throws mlpc::Error for an index outside of its axis, for two tasks one of which writes what the other
/// touches, and for a read of what nothing was written to.
void interpret(const ir::Kernel& kernel, bool has_fma,
               const std::function<std::int64_t(std::string_view)>& dim,
               const std::vector<std::byte*>& buffers, MemoryNotes* notes = nullptr,
               const OneTask* task = nullptr);

/// Philox4x32-10: four words for a counter and a key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

}  // namespace mlpc::testing
