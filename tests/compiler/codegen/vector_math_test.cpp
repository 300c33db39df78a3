#include "compiler/codegen/vector_math.h"

#include <doctest/doctest.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/TargetSelect.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "compiler/driver/host_cpu.h"

namespace mlpc {
namespace {

using codegen::VectorMath;
using Emit = llvm::Value* (VectorMath::*)(llvm::Value*);

/// `reference` is of f64, `reference_of_f32` of f32: each has half a unit's error of a type that is finer.
struct Function {
  std::string_view name;
  Emit emit;
  long double (*reference)(long double);
  double (*reference_of_f32)(double);
};

template <typename T>
T sigmoid(T x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

const std::vector<Function> kFunctions = {
    {"exp", &VectorMath::exp, std::exp, std::exp},     {"expm1", &VectorMath::expm1, std::expm1, std::expm1},
    {"log", &VectorMath::log, std::log, std::log},     {"log1p", &VectorMath::log1p, std::log1p, std::log1p},
    {"tanh", &VectorMath::tanh, std::tanh, std::tanh}, {"sigmoid", &VectorMath::sigmoid, sigmoid, sigmoid},
    {"erf", &VectorMath::erf, std::erf, std::erf},     {"sin", &VectorMath::sin, std::sin, std::sin},
    {"cos", &VectorMath::cos, std::cos, std::cos}};

/// One function compiled as `void f(const T* x, T* y)` on vectors of a width.
class Compiled {
 public:
  Compiled(Emit emit, bool is_f64, unsigned width, bool has_fma, bool has_ldexp = false) {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    auto context = std::make_unique<llvm::LLVMContext>();
    auto module = std::make_unique<llvm::Module>("m", *context);
    llvm::IRBuilder<> b(*context);
    auto* f =
        llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getPtrTy()}, false),
                               llvm::Function::ExternalLinkage, "f", *module);
    b.SetInsertPoint(llvm::BasicBlock::Create(*context, "entry", f));
    llvm::Type* scalar = is_f64 ? b.getDoubleTy() : b.getFloatTy();
    llvm::Type* type = width == 1 ? scalar : llvm::FixedVectorType::get(scalar, width);
    VectorMath math(b, has_fma, has_ldexp);
    llvm::Value* x = b.CreateAlignedLoad(type, f->getArg(0), llvm::Align(4));
    b.CreateAlignedStore((math.*emit)(x), f->getArg(1), llvm::Align(4));
    b.CreateRetVoid();
    REQUIRE(!llvm::verifyModule(*module));
    jit_ = llvm::cantFail(llvm::orc::LLJITBuilder().create());
    module->setDataLayout(jit_->getDataLayout());
    llvm::cantFail(jit_->addIRModule({std::move(module), std::move(context)}));
    function_ = llvm::cantFail(jit_->lookup("f")).toPtr<void (*)(const void*, void*)>();
  }
  void operator()(const void* x, void* y) const { function_(x, y); }

 private:
  std::unique_ptr<llvm::orc::LLJIT> jit_;
  void (*function_)(const void*, void*);
};

/// |got - exact| in units of the last place of T at `exact`.
template <typename T, typename Exact>
double ulps(Exact exact, T got) {
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) && std::isnan(got) ? 0 : 1e9;
  const T nearest = static_cast<T>(exact);
  if (std::isinf(nearest) || std::isinf(got))
    return nearest == got ? 0 : std::abs(exact) > std::numeric_limits<T>::max() ? 0.5 : 1e9;
  int exponent = 0;
  std::frexp(exact, &exponent);
  const int least = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits;
  const Exact unit = std::ldexp(Exact(1), std::max(exponent - std::numeric_limits<T>::digits, least));
  return static_cast<double>(std::abs(static_cast<Exact>(got) - exact) / unit);
}

double bound_of(std::string_view name, bool is_f64) {
  for (const codegen::UlpBound& bound : codegen::kUlpBounds)
    if (bound.function == name) return is_f64 ? bound.f64 : bound.f32;
  return 0;
}

constexpr std::size_t kLanes = 16;

/// Bit patterns spread over all of T, of f32 all of them if asked for (tests/functions.sh), and more numbers
/// where functions are interesting; `visit` sees them in blocks.
template <typename T, typename Visit>
void each_block(const Visit& visit) {
  T block[kLanes] = {};
  std::size_t count = 0;
  const auto add = [&](T x) {
    block[count++] = x;
    if (count == kLanes) visit(block);
    count %= kLanes;
  };
  if constexpr (sizeof(T) == 4) {
    const std::uint64_t step = std::getenv("MLPC_EXHAUSTIVE") ? 1 : 65537;
    for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += step)
      add(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  } else {
    for (std::uint64_t bits = 0; bits < std::uint64_t{0xfffc} << 48; bits += 0x0001234567891011)
      add(std::bit_cast<double>(bits));
  }
  for (int i = -20000; i <= 20000; ++i) add(static_cast<T>(i) / 997);
  while (count != 0) add(0);
}

constexpr double kFarthestAngle = 1.6e6;  // sin and cos are NaN beyond it (vector_math.h)

double error_of(const Function& f, float x, float got) { return ulps(f.reference_of_f32(x), got); }
double error_of(const Function& f, double x, double got) { return ulps(f.reference(x), got); }

template <typename T>
void check_function(const Function& f, bool has_ldexp) {
  const Compiled scalar(f.emit, sizeof(T) == 8, 1, true, has_ldexp),
      vector(f.emit, sizeof(T) == 8, kLanes, true, has_ldexp);
  double worst = 0;
  T worst_at = 0;
  std::size_t different = 0;
  each_block<T>([&](const T* in) {
    T lanes[kLanes], one;
    vector(in, lanes);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const T x = in[lane];
      scalar(&x, &one);
      different +=
          std::memcmp(&one, &lanes[lane], sizeof(T)) != 0 && !(std::isnan(one) && std::isnan(lanes[lane]));
      const bool is_far = (f.name == "sin" || f.name == "cos") && std::abs(x) > kFarthestAngle;
      const double error = is_far ? (std::isnan(one) ? 0 : 1e9) : error_of(f, x, one);
      if (error > worst) {
        worst = error;
        worst_at = x;
      }
    }
  });
  MESSAGE(f.name << (sizeof(T) == 4 ? " of f32" : " of f64") << ": " << worst << " units at " << worst_at);
  CAPTURE(worst_at);
  CHECK(different == 0);
  CHECK(worst <= bound_of(f.name, sizeof(T) == 8));
}

double at(const Compiled& f, double x) {
  double y = 0;
  f(&x, &y);
  return y;
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("every function keeps its bound, and lanes have the bits of scalars") {
  for (const Function& f : kFunctions) {
    CAPTURE(f.name);
    for (const bool has_ldexp : {false, true}) {
      CAPTURE(has_ldexp);
      if (has_ldexp && driver::host_target() != "x86-64-v4") continue;
      check_function<float>(f, has_ldexp);
      check_function<double>(f, has_ldexp);
    }
  }
}

TEST_CASE("special values are C's") {
  const auto compiled = [](Emit emit) { return Compiled(emit, true, 1, true); };
  const Compiled exp = compiled(&VectorMath::exp), log = compiled(&VectorMath::log),
                 tanh = compiled(&VectorMath::tanh);
  CHECK(at(exp, -kInfinity) == 0);
  CHECK(at(exp, kInfinity) == kInfinity);
  CHECK(at(exp, 0) == 1);
  CHECK(at(log, 0) == -kInfinity);
  CHECK(at(log, kInfinity) == kInfinity);
  CHECK(std::isnan(at(log, -1)));
  CHECK(at(log, 1) == 0);
  CHECK(at(tanh, kInfinity) == 1);
  CHECK(at(tanh, -kInfinity) == -1);
  for (Emit odd :
       {&VectorMath::tanh, &VectorMath::sin, &VectorMath::expm1, &VectorMath::log1p, &VectorMath::erf}) {
    const double zero = at(compiled(odd), -0.0);
    CHECK(zero == 0);
    CHECK(std::signbit(zero));
  }
}

TEST_CASE("floor is exact") {
  const Compiled floor(&VectorMath::floor, true, 1, false);
  for (double x : {0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, 4503599627370495.5, -4503599627370495.5,
                   1e300, -1e300, kInfinity, 0x1p-1074, -0x1p-1074})
    CHECK(std::bit_cast<std::uint64_t>(at(floor, x)) == std::bit_cast<std::uint64_t>(std::floor(x)));
}

TEST_CASE("pow has C's special cases, and small errors") {
  llvm::InitializeNativeTarget();
  auto context = std::make_unique<llvm::LLVMContext>();
  auto module = std::make_unique<llvm::Module>("m", *context);
  llvm::IRBuilder<> b(*context);
  auto* f = llvm::Function::Create(
      llvm::FunctionType::get(b.getDoubleTy(), {b.getDoubleTy(), b.getDoubleTy()}, false),
      llvm::Function::ExternalLinkage, "f", *module);
  b.SetInsertPoint(llvm::BasicBlock::Create(*context, "entry", f));
  b.CreateRet(VectorMath(b, true, false).pow(f->getArg(0), f->getArg(1)));
  auto jit = llvm::cantFail(llvm::orc::LLJITBuilder().create());
  module->setDataLayout(jit->getDataLayout());
  llvm::cantFail(jit->addIRModule({std::move(module), std::move(context)}));
  const auto pow = llvm::cantFail(jit->lookup("f")).toPtr<double (*)(double, double)>();
  const std::vector<double> values = {0.0,   -0.0,   1,         -1,         2,           -2, 0.5,
                                      -0.5,  3,      -3,        1.5,        -1.5,        10, 1e-300,
                                      1e300, -1e300, kInfinity, -kInfinity, std::nan("")};
  for (double x : values)
    for (double y : values) {
      CAPTURE(x);
      CAPTURE(y);
      const long double exact = std::pow(static_cast<long double>(x), static_cast<long double>(y));
      const double magnitude =
          std::abs(static_cast<double>(std::log(std::abs(static_cast<long double>(x))) * y));
      const double allowed = 2 + (std::isfinite(magnitude) ? 2 * magnitude : 0);
      CHECK(ulps<double>(exact, pow(x, y)) <= allowed);
      if (pow(x, y) == 0) CHECK(std::signbit(pow(x, y)) == std::signbit(exact));
    }
}

}  // namespace mlpc
