#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ir/kernel.h"
#include "runtime/abi.h"

namespace mlpc::codegen {

/// A model in this process' memory: the same object code as ahead of time, linked by JITLink, so that no page
/// is writable and executable at once.
class JitModel {
 public:
  /// Throws mlpc::Error where the program's target is not this machine's.
  explicit JitModel(const ir::KernelProgram& program);
  /// Links what emit_objects made for a program of this header.
  JitModel(const ir::Program& header, const std::vector<std::string>& objects);
  ~JitModel();
  JitModel(JitModel&&) noexcept;
  JitModel& operator=(JitModel&&) noexcept;

  /// Lives as long as the JitModel.
  const mlpc_model* table() const { return table_; }

 private:
  struct Linked;
  std::unique_ptr<Linked> linked_;
  const mlpc_model* table_ = nullptr;
};

}  // namespace mlpc::codegen
