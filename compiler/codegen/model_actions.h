#pragma once

#include <set>
#include <span>
#include <vector>

#include "compiler/codegen/model_call.h"
#include "compiler/codegen/model_state.h"
#include "compiler/codegen/model_turns.h"

namespace mlpc::codegen {

/// What a function that runs actions has on its stack: its context (model_call.h), and what that points to.
struct ActionFrame {
  llvm::Value* context;
  llvm::Value* places;
  llvm::Value* turns;  // of each loop over turns around: its number, and how many turns were before
};
/// `depth`: how deep loops over turns are nested.
ActionFrame allocate_frame(ModelState& s, const BufferTable& buffers, std::size_t depth);
llvm::Value* turn_number_at(ModelState& s, llvm::Value* turns, std::size_t loop);

/// Emits the actions of an entry: into its function, and each phase into one of its own, which runs a task.
class ActionEmitter {
 public:
  /// `entry`: the entry's function, whose context is filled.
  ActionEmitter(ModelState& state, const ir::LoweredEntry& entry, BufferTable& buffers, std::size_t depth,
                const ActionFrame& frame, DimValues& dims, llvm::Value* args)
      : s_(state), e_(entry), buffers_(buffers), depth_(depth), frame_(frame), dims_(dims), args_(args) {}

  void act(std::span<const ir::Action> actions);

 private:
  void act(const ir::Action& action);
  void run_turns(const ir::TurnLoop& loop);
  void move_places(const std::vector<ir::Action>& actions);
  void move_places(const ir::KernelCall& call, std::set<std::size_t>& moved);
  llvm::Value* count_of(const ir::KernelCall& call);
  void run_calls(std::span<const ir::Action> actions);
  llvm::Value* on_stack(llvm::Type* type);
  void check_finite(const ir::FiniteCheck& check);
  llvm::Value* address(const ir::BufferRef& ref);

  void run_specialized(const ir::Specialization& special);
  void run_phase(const ir::Phase& phase);
  llvm::Function* phase_function(const ir::Phase& phase);
  void enter_rooms(const std::vector<ir::Action>& actions, llvm::Value* plan, llvm::Value* worker);
  void copy_context(llvm::Value* outer, const ActionFrame& to);

  ModelState& s_;
  const ir::LoweredEntry& e_;
  BufferTable& buffers_;
  std::size_t depth_;
  ActionFrame frame_;
  DimValues& dims_;
  llvm::Value* args_;
  llvm::Value* task_ = nullptr;  // of the phase
  std::vector<Turn> turns_;      // of the loops that the builder stands in, outermost first
};

}  // namespace mlpc::codegen
