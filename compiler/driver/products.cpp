#include "compiler/driver/products.h"

#include <unistd.h>

#include <array>
#include <deque>
#include <filesystem>
#include <fstream>

#include "compiler/codegen/header.h"
#include "compiler/codegen/link.h"
#include "compiler/codegen/object.h"
#include "compiler/driver/object_cache.h"
#include "compiler/driver/timed.h"
#include "ir/error.h"
#include "ir/target.h"
#include "runtime/files.h"

namespace mlpc::driver {
namespace {

struct ProductInfo {
  Product product;
  std::string_view emit, suffix;
};
constexpr std::array<ProductInfo, 12> kProducts = {{{Product::ast, "ast", ".ast"},
                                                    {Product::graph, "graph", ".graph"},
                                                    {Product::linear, "linear", ".linear"},
                                                    {Product::jacobian, "jacobian", ".jacobian"},
                                                    {Product::joint, "joint", ".joint"},
                                                    {Product::kernels, "kernels", ".kernels"},
                                                    {Product::llvm, "llvm", ".ll"},
                                                    {Product::assembly, "asm", ".s"},
                                                    {Product::object, "obj", ".o"},
                                                    {Product::archive, "archive", ".a"},
                                                    {Product::shared, "shared", ".so"},
                                                    {Product::header, "header", ".h"}}};

namespace fs = std::filesystem;

void write(const std::string& path, std::string_view text) {
  runtime::write_file(path, runtime::bytes_of(text));
}

/// A file that is gone when the scope is left, whatever happens.
struct Temporary {
  explicit Temporary(std::string file) : path(std::move(file)) {}
  ~Temporary() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const std::string path;
};

std::string with_suffix(const std::string& path, std::string_view suffix) {
  return fs::path(path).replace_extension(suffix).string();
}

/// The library is linked beside its place and renamed into it; its header follows.
void write_shared(const ir::KernelProgram& program, const std::vector<std::string>& objects,
                  const std::string& path, const Observer& observer) {
  if (path == "-") fail("a shared library is written to a file: give -o a name");
  if (!ir::target_named(program.header.target)->triple.ends_with("linux-gnu"))
    fail("{} has no shared libraries: ask for an object, -o model.o", program.header.target);
  const Timed timed(observer, "link");
  const std::string beside = fmt::format("{}.{}", path, getpid());
  const Temporary output(beside + ".so");
  std::deque<Temporary> inputs;
  std::vector<std::string> input_paths;
  for (const std::string& object : objects) {
    inputs.emplace_back(fmt::format("{}.{}.o", beside, inputs.size()));
    input_paths.push_back(inputs.back().path);
    std::ofstream file(input_paths.back(),
                       std::ios::binary);  // for a moment only: nothing waits for the disk
    if (!file.write(object.data(), static_cast<std::streamsize>(object.size())).flush())
      fail("{} cannot be written", input_paths.back());
  }
  codegen::link_shared(input_paths, output.path, fs::path(path).filename().string());
  write(with_suffix(path, ".h"), codegen::emit_header(program));
  std::error_code problem;
  fs::rename(output.path, path, problem);
  if (problem) fail("{}: {}", path, problem.message());
}

void write_code(const ir::KernelProgram& program, Product product, const std::string& path,
                const CompileOptions& options, const Observer& observer) {
  using codegen::TextFormat;
  const auto one_object = [&] { return objects_of(program, options, observer, 1).front(); };
  switch (product) {
    case Product::llvm:
      return write(path, codegen::emit_text(program, TextFormat::llvm_ir));
    case Product::assembly:
      return write(path, codegen::emit_text(program, TextFormat::assembly));
    case Product::object:
      return write(path, one_object());
    case Product::archive:
      return write(path, codegen::make_archive(one_object(), program.header.model + ".o"));
    case Product::shared:
      return write_shared(program, objects_of(program, options, observer), path, observer);
    case Product::header:
      return write(path, codegen::emit_header(program));
    default:
      fail("this product is no code");
  }
}

}  // namespace

std::optional<Product> product_named(std::string_view emit) {
  for (const ProductInfo& info : kProducts)
    if (info.emit == emit) return info.product;
  return std::nullopt;
}

std::optional<Product> product_of_path(std::string_view path) {
  for (const ProductInfo& info : kProducts)
    if (path.ends_with(info.suffix)) return info.product;
  return std::nullopt;
}

std::string product_names() {
  std::string out;
  for (const ProductInfo& info : kProducts) out += fmt::format("{}{}", out.empty() ? "" : ", ", info.emit);
  return out;
}

void make_product(const Source& source, const CompileOptions& options, Product product,
                  const std::string& path, const Observer& observer) {
  switch (product) {
    case Product::ast:
      return write(path, ast_text(source));
    case Product::graph:
      return write(path, stage_text(source, options, StopAt::graph, observer));
    case Product::linear:
      return write(path, stage_text(source, options, StopAt::linear, observer));
    case Product::jacobian:
      return write(path, stage_text(source, options, StopAt::jacobian, observer));
    case Product::joint:
      return write(path, stage_text(source, options, StopAt::joint, observer));
    case Product::kernels:
      return write(path, stage_text(source, options, StopAt::kernels, observer));
    default:
      return write_code(compile(source, options, observer), product, path, options, observer);
  }
}

}  // namespace mlpc::driver
