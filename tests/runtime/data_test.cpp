#include "runtime/data.h"

#include <doctest/doctest.h>

#include "runtime/files.h"
#include "runtime/npy.h"
#include "tests/runtime/damage.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

constexpr const char* kDims[] = {"B", "T"};
constexpr mlpc_extent kBatch = {0, 0, 0}, kTime = {0, 1, 0};

constexpr mlpc_extent constant(std::int64_t n) { return {n, -1, 0}; }

mlpc_model model() {
  mlpc_model out{};
  out.dims = kDims;
  out.dim_count = 2;
  return out;
}

mlpc_tensor declared(const std::vector<mlpc_extent>& shape, mlpc_type type = MLPC_F32) {
  mlpc_tensor out{};
  out.size = sizeof out;
  out.type = static_cast<std::uint32_t>(type);
  out.name = "x";
  out.shape = shape.data();
  out.rank = static_cast<std::int64_t>(shape.size());
  return out;
}

std::string problem(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

Shape bound(const std::vector<mlpc_extent>& shape, const Shape& given) {
  const mlpc_model m = model();
  return DimBinder(m).bind(declared(shape), given, "x=FILE");
}

}  // namespace

TEST_CASE("data: trailing dims are regrouped where the product agrees") {
  const std::vector<mlpc_extent> flat = {kBatch, constant(784)}, image = {kBatch, constant(28), constant(28)};
  CHECK(bound(flat, {60, 28, 28}) == Shape{60, 784});
  CHECK(bound(image, {60, 784}) == Shape{60, 28, 28});
  CHECK(bound(image, {60, 1, 28, 28}) == Shape{60, 28, 28});
  CHECK(bound({kBatch}, {60, 1}) == Shape{60});
  CHECK(bound({kBatch, constant(1)}, {60}) == Shape{60, 1});
  CHECK(bound({}, {1, 1}) == Shape{});
  CHECK(problem([&] { bound(flat, {60, 28, 27}); }) ==
        "x=FILE: its shape [60, 28, 27] does not fit the input `x`, f32[B, 784]");
  CHECK(problem([&] { bound(flat, {}); }) != "");
  CHECK(problem([&] { bound({constant(3), kBatch}, {4, 5}); }) != "");
  CHECK(problem([&] { bound({kBatch, kTime}, {20}); }) != "");
}

TEST_CASE("data: inputs that disagree in a dim are named both") {
  const mlpc_model m = model();
  DimBinder dims(m);
  const std::vector<mlpc_extent> rows = {kBatch};
  dims.bind(declared(rows), {60000}, "x=train.npy");
  CHECK(problem([&] { dims.bind(declared(rows), {10000}, "y=test.npy"); }) ==
        "y=test.npy: the dim B is 10000 here and 60000 in x=train.npy");
  CHECK(dims.dims() == std::vector<std::int64_t>{60000, 1});
}

TEST_CASE("data: integers convert where each value fits, f32 widens, all else is refused") {
  const auto converted = [](Tensor t, mlpc_type type) {
    return with_type({std::move(t), "x=FILE"}, declared({}, type));
  };
  const Tensor wide = tensor_of<std::int64_t>(MLPC_I64, {3}, {0, 255, -1});
  CHECK(
      is_same(converted(wide, MLPC_I32).view(), tensor_of<std::int32_t>(MLPC_I32, {3}, {0, 255, -1}).view()));
  CHECK(problem([&] { converted(wide, MLPC_U8); }) ==
        "x=FILE: element 2 is -1, which does not fit the input's u8");
  CHECK(converted(tensor_of<std::uint8_t>(MLPC_U8, {1}, {200}), MLPC_I32).as<std::int32_t>()[0] == 200);
  CHECK(converted(tensor_of<float>(MLPC_F32, {1}, {0.5}), MLPC_F64).as<double>()[0] == 0.5);
  CHECK(problem([&] { converted(Tensor::zeros(MLPC_F64, {1}), MLPC_F32); }).find("astype('f4')") !=
        std::string::npos);
  CHECK(problem([&] { converted(Tensor::zeros(MLPC_U8, {1}), MLPC_F32); }) != "");
  CHECK(problem([&] { converted(Tensor::zeros(MLPC_F32, {1}), MLPC_I32); }) != "");
  CHECK(problem([&] { converted(Tensor::zeros(MLPC_I64, {}), MLPC_F32); }) != "");
}

TEST_CASE("data: arguments name files, or numbers for rank 0") {
  const TemporaryDirectory directory;
  write_npy(directory.file("x.npy"), tensor_of<float>(MLPC_F32, {2}, {1, 2}).view());
  const Inputs inputs = read_inputs({"x=" + directory.file("x.npy"), "x1=0.5", "n=-3"});
  CHECK(inputs.at("x").tensor.shape == Shape{2});
  CHECK(with_type(inputs.at("x1"), declared({})).as<float>()[0] == 0.5F);
  CHECK(with_type(inputs.at("n"), declared({}, MLPC_F64)).as<double>()[0] == -3);
  CHECK(with_type(inputs.at("n"), declared({}, MLPC_I32)).as<std::int32_t>()[0] == -3);
  CHECK(problem([&] { with_type(inputs.at("x1"), declared({}, MLPC_I32)); }) ==
        "x1=0.5: the input is i32, which takes whole numbers only");
  CHECK(problem([&] { with_type(inputs.at("n"), declared({}, MLPC_BOOL)); }) != "");
  CHECK(problem([] { read_inputs({"x"}); }) == "`x` is not of the form INPUT=FILE or INPUT=NUMBER");
  CHECK(problem([] { read_inputs({"x=1", "x=2"}); }) == "the input `x` is given twice");
  CHECK(problem([] { read_inputs({"x=none.npy"}); }).starts_with("none.npy: cannot open"));
  write_file(directory.file("text"), bytes_of("hello"));
  CHECK(problem([&] { read_inputs({"x=" + directory.file("text")}); }).find("neither .npy nor IDX") !=
        std::string::npos);
}

}  // namespace mlpc::runtime
