#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/driver/mlpc.h"

namespace mlpc {

struct JitOptions {
  int level = 2;
  std::string cpu;                   // a target row; empty: this processor
  std::vector<std::string> defines;  // "H=512"
  std::vector<std::string> entries;  // on request: "jvp", "hvp", "jacobian"
};

/// A model compiled into this process. Throws std::runtime_error with the diagnostics.
class CompiledModel {
 public:
  static CompiledModel from_source(std::string_view source, const std::string& name,
                                   const JitOptions& options = {}) {
    return CompiledModel(
        [&](const mlpc_compile_options* o) {
          return mlpc_compile(source.data(), static_cast<int64_t>(source.size()), name.c_str(), o);
        },
        options);
  }
  static CompiledModel from_file(const std::string& path, const JitOptions& options = {}) {
    return CompiledModel([&](const mlpc_compile_options* o) { return mlpc_compile_file(path.c_str(), o); },
                         options);
  }

  const mlpc_model& table() const { return *mlpc_model_of(handle_.get()); }
  /// Entry by kind, or null where the model has none.
  const mlpc_entry* entry(mlpc_entry_kind kind) const {
    for (int64_t i = 0; i < table().entry_count; ++i)
      if (table().entries[i].kind == static_cast<uint32_t>(kind)) return &table().entries[i];
    return nullptr;
  }

 private:
  template <typename Compile>
  CompiledModel(Compile compile, const JitOptions& options) : handle_(nullptr, mlpc_free) {
    std::vector<const char*> defines, entries;
    for (const std::string& define : options.defines) defines.push_back(define.c_str());
    for (const std::string& entry : options.entries) entries.push_back(entry.c_str());
    const mlpc_compile_options c_options{sizeof(mlpc_compile_options),
                                         options.level,
                                         options.cpu.empty() ? nullptr : options.cpu.c_str(),
                                         defines.data(),
                                         static_cast<int64_t>(defines.size()),
                                         entries.data(),
                                         static_cast<int64_t>(entries.size())};
    handle_.reset(compile(&c_options));
    if (!handle_) throw std::bad_alloc();
    if (const char* error = mlpc_error(handle_.get())) throw std::runtime_error(error);
  }

  std::unique_ptr<mlpc_compiled, void (*)(mlpc_compiled*)> handle_;
};

}  // namespace mlpc
