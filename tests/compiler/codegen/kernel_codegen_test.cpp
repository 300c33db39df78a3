#include "compiler/codegen/kernel_codegen.h"

#include <doctest/doctest.h>

#include "ir/error.h"
#include "tests/compiler/codegen/kernel_jit.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {

TEST_CASE("objects of every target call nothing") {
  const ir::Dim m = ir::Dim::named("M"), n = ir::Dim::named("N");
  for (const ir::Target& target : ir::all_targets()) {
    INFO("target " << std::string(target.name));
    for (ir::ElementType type : {ir::ElementType::f32, ir::ElementType::f64}) {
      CHECK(undefined_symbols(contraction(type, m, n, 20, {6, 4, 2}), target, {"M", "N"}).empty());
      CHECK(undefined_symbols(contraction(type, m, 65, 20, {6, 4, 2, true}), target, {"M"}).empty());
    }
    for (ir::ElementType type : {ir::ElementType::i32, ir::ElementType::i64, ir::ElementType::u8})
      CHECK(undefined_symbols(pointwise(type, n, {2, true}), target, {"N"}).empty());
  }
}

TEST_CASE("a dim that the program has not is an error, and the module is left as it was") {
  llvm::LLVMContext context;
  llvm::Module module("test", context);
  const ir::Kernel kernel = pointwise(ir::ElementType::f32, ir::Dim::named("N"), {});
  const std::vector<std::string> names = {"M"};
  CHECK_THROWS_WITH_AS(emit_kernel(module, kernel, *ir::target_named("x86-64-v4"), names, false),
                       "an extent uses `N`, which is no dim of the program", Error);
  CHECK(module.empty());
}

}  // namespace mlpc::codegen
