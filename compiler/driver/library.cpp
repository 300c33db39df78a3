#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "compiler/codegen/jit.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/mlpc.h"
#include "ir/error.h"

struct mlpc_compiled {
  std::string error;
  std::unique_ptr<mlpc::codegen::JitModel> model;
};

namespace {

mlpc::driver::CompileOptions options_of(const mlpc_compile_options* given) {
  mlpc::driver::CompileOptions options;
  if (!given) return options;
  if (given->size < sizeof(mlpc_compile_options)) mlpc::fail("the options are smaller than this library's");
  if (given->level < 0 || given->level > 3) mlpc::fail("level {} is none of 0 … 3", given->level);
  options.level = given->level;
  if (given->cpu) options.target = given->cpu;
  for (int64_t i = 0; i < given->define_count; ++i) {
    const std::string define = given->defines[i];
    const std::size_t equals = define.find('=');
    if (equals == std::string::npos) mlpc::fail("`{}` is no definition: NAME=VALUE", define);
    options.defines.emplace_back(define.substr(0, equals), define.substr(equals + 1));
  }
  for (int64_t i = 0; i < given->entry_count; ++i) options.entries.emplace_back(given->entries[i]);
  return options;
}

/// No exception crosses the C ABI.
template <typename Read>
mlpc_compiled* compiled(Read read, const mlpc_compile_options* options) noexcept {
  auto out = std::unique_ptr<mlpc_compiled>(new (std::nothrow) mlpc_compiled);
  if (!out) return nullptr;
  try {
    const mlpc::driver::Source source = read();
    out->model =
        std::make_unique<mlpc::codegen::JitModel>(mlpc::driver::compile(source, options_of(options)));
  } catch (const std::exception& e) {
    out->error = e.what();
    if (out->error.empty()) out->error = "unknown error";
  }
  return out.release();
}

}  // namespace

extern "C" {

mlpc_compiled* mlpc_compile(const char* source, int64_t length, const char* name,
                            const mlpc_compile_options* options) {
  return compiled(
      [&] {
        if (!source || length < 0) mlpc::fail("there is no source");
        return mlpc::driver::Source{std::string(source, static_cast<std::size_t>(length)),
                                    name ? name : "<source>"};
      },
      options);
}

mlpc_compiled* mlpc_compile_file(const char* path, const mlpc_compile_options* options) {
  return compiled(
      [&] {
        std::ifstream file(path ? path : "", std::ios::binary);
        std::stringstream text;
        if (!file || !(text << file.rdbuf()))
          mlpc::fail("{} cannot be read", path ? path : "a file without a name");
        return mlpc::driver::Source{text.str(), path};
      },
      options);
}

const char* mlpc_error(const mlpc_compiled* compiled) {
  return compiled->error.empty() ? nullptr : compiled->error.c_str();
}

const mlpc_model* mlpc_model_of(const mlpc_compiled* compiled) {
  return compiled->model ? compiled->model->table() : nullptr;
}

void mlpc_free(mlpc_compiled* compiled) { delete compiled; }
}
