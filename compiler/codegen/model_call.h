#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/codegen/model_state.h"

namespace mlpc::codegen {

/// What one call of an entry knows, and its kernel's tasks; each task of a phase has one of its own. One
/// layout for all entries of a model.
namespace context_field {
enum : unsigned { plan, args, places, turns, kernel, buffers };
}
llvm::StructType* context_type(ModelState& s);

// Of these functions each is there once a model. Calls that follow each other are data, {ptr kernel, i32
// first_ref, i32 refs, i32 count}, and so are their kernels' buffers: i64 *refs has for each the number of a
// place in context->places, and the bytes behind it.
namespace call_field {
enum : unsigned { kernel, first_ref, refs, count };
}
llvm::StructType* call_type(ModelState& s);

/// void(context, calls, i64 n, refs, i64 *counts): each call finds its buffers and runs counts[count] tasks,
/// which may be none. With `in_task`, void(…, i64 task): of each that has tasks, this one.
llvm::Function* run_calls_function(ModelState& s, bool in_task);
/// void(context, function, i64 tasks): runs function(context, task, worker) for all tasks, by the caller's
/// hook where it gave one and there are several.
llvm::Function* fork_function(ModelState& s);

/// Where an entry's buffers are: the places that its calls are relative to, and the data of the calls.
class BufferTable {
 public:
  BufferTable(const ir::Program& header, const ir::LoweredEntry& entry, const WorkspacePlaces& workspace);

  struct Place {
    std::size_t number;  // the workspace's come first
    std::int64_t bytes = 0;
  };
  /// With the turns' share, or without it.
  Place find(const ir::BufferRef& ref, bool in_turn = true) const;
  /// One buffer of each place that is there in all turns, but for the workspace's.
  const std::vector<const ir::BufferRef*>& bases() const { return bases_; }
  std::size_t place_count() const { return place_count_; }

  /// The place of all numbers that calls have.
  llvm::Value* numbers(ModelState& s) const;
  /// Where refs() has those of a call.
  std::size_t add_call(const ir::KernelCall& call);
  llvm::Value* refs(ModelState& s);
  /// After the last call.
  void finish(ModelState& s);

 private:
  void note(const std::vector<ir::Action>& actions);
  void note(const ir::BufferRef& ref);

  const ir::Program& header_;
  const WorkspacePlaces& workspace_;
  std::string name_;
  std::map<std::string, std::size_t> numbers_;
  std::map<std::int64_t, std::size_t> numbers_in_calls_;
  std::vector<const ir::BufferRef*> bases_;
  std::size_t place_count_;
  std::size_t buffer_count_ = 0;  // of all calls
  std::vector<std::uint64_t> data_;
  llvm::GlobalVariable* global_ = nullptr;
};

}  // namespace mlpc::codegen
