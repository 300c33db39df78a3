#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/driver/compile.h"

namespace mlpc::driver {

/// What a compilation can give, named by `--emit=` or by the suffix of `-o`.
enum class Product : std::uint8_t {
  ast,
  graph,
  linear,
  jacobian,
  joint,
  kernels,
  llvm,
  assembly,
  object,
  archive,
  shared,
  header
};

std::optional<Product> product_named(std::string_view emit);
/// ".so" and its like; the stages have the suffix of their own name: "model.joint".
std::optional<Product> product_of_path(std::string_view path);
/// "ast, graph, …" for messages.
std::string product_names();

/// Compiles and writes one product to `path` ("-": standard output). A shared library comes with its header
/// beside it. Nothing is written if something is wrong.
void make_product(const Source& source, const CompileOptions& options, Product product,
                  const std::string& path, const Observer& observer);

}  // namespace mlpc::driver
