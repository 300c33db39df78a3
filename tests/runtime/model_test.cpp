#include "runtime/model.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/dataset.h"
#include "runtime/elf_note.h"
#include "runtime/files.h"
#include "tests/runtime/damage.h"
#include "tests/runtime/linear_model.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

const std::string kLibrary = std::string(MLPC_BINARY_DIR) + "/linear_model.so";

Dataset dataset(const Model& model, Inputs inputs, const char* entry) {
  const mlpc_entry* const entries[] = {&model.entry(entry)};
  return make_dataset(model, std::move(inputs), entries);
}

std::vector<float> predictions(const Model& model) {
  Weights weights;
  initialise(model, weights, 5);
  const Dataset data = dataset(model, linear_data(4), "infer");
  Batches all(data, {});
  Call call(model, model.entry("infer"), data.dims, {});
  call.use(weights);
  all.run(call, 0);
  const auto values = call.results[0].as<float>();
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("model: a library is loaded by its note, with or without a slash, and computes") {
  const Model model = Model::load(kLibrary);
  CHECK(std::string(model.table().name) == "linear");
  CHECK(predictions(model) == predictions(linear()));
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(MLPC_BINARY_DIR);
  CHECK(std::string(Model::load("linear_model.so").table().name) == "linear");
  std::filesystem::current_path(before);
}

TEST_CASE("model: what is no model is refused before it is opened") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("a.so");
  write_file(path, bytes_of("hello"));
  CHECK(problem_of([&] { Model::load(path); }) == path + ": is no shared library");
  CHECK(problem_of([] { Model::load("no/such.so"); }).starts_with("no/such.so: cannot open"));
  Bytes library = read_file(kLibrary);
  const std::string_view note("mlpc\0\0\0\0linear", 14);
  const std::size_t at = text_in(library).find(note);
  REQUIRE(at != std::string_view::npos);
  library[at] = std::byte{'n'};
  CHECK(problem_of([&] { model_name_in(library, "FILE"); }) == "FILE: is no model: it has no note by mlpc");
}

TEST_CASE("model: a cut or damaged library never crashes the reader of the note") {
  const Bytes library = read_file(kLibrary);
  for (std::size_t n = 0; n < library.size(); n += 1 + library.size() / 997)
    CHECK(refuses([](const Bytes& f) { model_name_in(f, "FILE"); },
                  Bytes(library.begin(), library.begin() + static_cast<std::ptrdiff_t>(n))));
  const Bytes header(library.begin(), library.begin() + 64);
  for_each_flip(header, [&](const Bytes& flipped, std::size_t) {
    Bytes file = library;
    std::copy(flipped.begin(), flipped.end(), file.begin());
    std::string name = "linear";
    if (!refuses([&](const Bytes& f) { name = model_name_in(f, "FILE"); }, file)) CHECK(name == "linear");
  });
}

TEST_CASE("model: a table of another ABI, or one that contradicts itself, is refused") {
  CHECK(problem_of([] { Model(nullptr); }) != "");
  const auto with = [](auto change) {
    mlpc_model table = *linear_model(MLPC_ABI_VERSION);
    change(table);
    return problem_of([&] { Model{&table}; });
  };
  CHECK(with([](mlpc_model&) {}) == "");
  CHECK(with([](mlpc_model& m) { m.abi = 2; }) == "linear: the model's table is of another ABI");
  CHECK(with([](mlpc_model& m) { m.size -= 8; }) != "");
  CHECK(with([](mlpc_model& m) { m.params_bytes = 64; }) ==
        "linear: the model's table has a parameter outside its buffer");
  CHECK(with([](mlpc_model& m) { m.dim_count = 0; }) == "linear: the model's table has a malformed extent");
  CHECK(with([](mlpc_model& m) { m.dim_count = 17; }) != "");
}

TEST_CASE("model: rows of a newer, longer table are found by their size") {
  struct Longer {
    mlpc_tensor known;
    std::int64_t added;
  };
  std::vector<Longer> rows(3);
  for (std::size_t i = 0; i < 3; ++i)
    rows[i] = {{.size = sizeof(Longer), .rank = static_cast<std::int64_t>(i)}, -1};
  std::int64_t expected = 0;
  for (const mlpc_tensor& t : Rows<mlpc_tensor>(&rows[0].known, 3)) CHECK(t.rank == expected++);
  CHECK(expected == 3);
}

TEST_CASE("model: missing, unknown and misshapen inputs are named") {
  const Model model = linear();
  Inputs inputs = linear_data(4);
  inputs.erase("k");
  inputs.erase("y");
  CHECK(problem_of([&] { dataset(model, std::move(inputs), "loss"); }) ==
        "linear: no data is given for the input `k`, i32[B]; `y`, f32[B]");
  inputs = linear_data(4);
  inputs.emplace("z", Input{Tensor::zeros(MLPC_F32, {4}), "z=Z"});
  CHECK(problem_of([&] { dataset(model, std::move(inputs), "infer"); }) ==
        "z=Z: the model linear has no input `z`");
  inputs = linear_data(4);
  inputs.at("y").tensor = Tensor::zeros(MLPC_F32, {5});
  CHECK(problem_of([&] { dataset(model, std::move(inputs), "loss"); }) ==
        "y=Y: the dim B is 5 here and 4 in x=X");
  CHECK(
      problem_of([&] { model.entry("jvp"); }) ==
      "linear: the model has no entry `jvp`; it has `infer`, `loss`, `grad`, `train_step`, `update`, `init`");
}

TEST_CASE("model: a code becomes a message that names the file, the element and the range") {
  const Model model = linear();
  Weights weights;
  initialise(model, weights, 0);
  Inputs inputs = linear_data(20);
  inputs.at("k").tensor.as<std::int32_t>()[13] = 7;
  const Dataset data = dataset(model, std::move(inputs), "loss");
  Batches batches(data, std::vector<Split>{{0, 8}});
  CHECK(problem_of([&] { evaluate(model, weights, batches, {}); }) ==
        "k=K: element 13 is 7, outside 0 … 3 of the input `k`");
  CHECK(problem_of([&] {
          Call(model, model.entry("loss"), std::vector<std::int64_t>{1 << 21}, {});
        }).starts_with("linear.loss: a dim is negative"));
}

TEST_CASE(
    "model: of several dims that are split, the one with most batches leads, and the others begin again") {
  Dataset data;
  data.dims = {4, 20, 5};
  const Batches batches(data, std::vector<Split>{{0, 3}, {1, 8}});
  CHECK(batches.count() == 3);
  CHECK(batches.row_count() == 20);
  std::vector<std::vector<std::int64_t>> dims;
  for (std::int64_t turn = 0; turn < 4; ++turn) dims.push_back(batches.dims_at(turn));
  CHECK(dims == std::vector<std::vector<std::int64_t>>{{3, 8, 5}, {1, 8, 5}, {3, 4, 5}, {1, 8, 5}});
}

TEST_CASE("model: a mean over batches is weighted by their rows") {
  const Model model = linear();
  Weights weights;
  initialise(model, weights, 0);
  const Dataset data = dataset(model, linear_data(20), "loss");
  Batches whole(data, {}), parts(data, std::vector<Split>{{0, 8}});
  const Values expected = evaluate(model, weights, whole, {}), got = evaluate(model, weights, parts, {});
  REQUIRE(got.size() == 3);
  CHECK(got[2].name == "mae");
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i].value == doctest::Approx(expected[i].value));
}

}  // namespace mlpc::runtime
