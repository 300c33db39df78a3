#include "runtime/checkpoint.h"

#include <doctest/doctest.h>

#include "runtime/files.h"
#include "runtime/safetensors.h"
#include "tests/runtime/damage.h"
#include "tests/runtime/linear_model.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

struct Fixture {
  TemporaryDirectory directory;
  std::string path = directory.file("w.safetensors");
  Model model = linear();
  Weights weights;

  Fixture() { initialise(model, weights, 3); }

  /// Writes tensors by hand and says what loading them says, without the path.
  std::string loading(const std::vector<std::pair<std::string, Tensor>>& tensors,
                      const LoadOptions& options = {}) {
    std::vector<NamedView> views;
    for (const auto& [name, tensor] : tensors) views.push_back({name, tensor.view()});
    write_safetensors(path, views, {});
    const std::string problem = problem_of([&] { load_checkpoint(path, model, weights, options); });
    return problem.empty() ? "" : problem.substr(path.size() + 2);
  }
};

Tensor vector() { return tensor_of<float>(MLPC_F32, {3}, {1, 2, 3}); }
Tensor scalar() { return tensor_of<float>(MLPC_F32, {}, {4}); }

}  // namespace

TEST_CASE("checkpoint: parameters come first in the table's order, then state, then slots") {
  Fixture f;
  save_checkpoint(f.path, f.model, f.weights, nullptr, {{"step", "3"}});
  const Safetensors file = read_safetensors(f.path);
  std::vector<std::string> names;
  for (const NamedView& t : file.tensors) names.push_back(t.name);
  CHECK(names == std::vector<std::string>{"fc.W", "b", "seen", "slot.m/fc.W", "slot.m/b"});
  Weights read = f.model.zero_weights();
  CHECK(load_checkpoint(f.path, f.model, read, {.with_slots = true}).metadata.at("step") == "3");
  CHECK(read.params == f.weights.params);
  CHECK(read.slots == f.weights.slots);
}

TEST_CASE("checkpoint: every key that does not fit is listed at once, and nothing is loaded") {
  Fixture f;
  const Bytes before = f.weights.params;
  CHECK(f.loading({{"fc.W", scalar()}, {"fc.V", vector()}, {"b", scalar()}}) ==
        "does not fit the model in 3 tensors:\n"
        "  misshapen `fc.W`: f32[] in the file, f32[3] in the model\n"
        "  missing `seen`, f32[]\n"
        "  extra `fc.V`, f32[3]");
  CHECK(f.loading({{"fc.W", vector()}, {"b", scalar()}}) == "does not fit the model: missing `seen`, f32[]");
  CHECK(f.loading({{"fc.W", vector()}, {"b", Tensor::zeros(MLPC_F64, {})}, {"seen", scalar()}}) ==
        "does not fit the model: misshapen `b`: f64[] in the file, f32[] in the model");
  CHECK(f.weights.params == before);
}

TEST_CASE("checkpoint: partial loading keeps what is missing and skips what is extra, but no shape") {
  Fixture f;
  CHECK(f.loading({{"b", scalar()}, {"more", vector()}}, {.is_partial = true}) == "");
  CHECK(reinterpret_cast<const float*>(f.weights.params.data())[16] == 4);
  CHECK(reinterpret_cast<const float*>(f.weights.params.data())[0] > 0);
  CHECK(f.loading({{"b", vector()}}, {.is_partial = true})
            .starts_with("does not fit the model: misshapen `b`"));
}

TEST_CASE("checkpoint: renaming takes a parameter with its slots") {
  Fixture f;
  const std::vector<std::pair<std::string, Tensor>> tensors = {{"old", vector()},
                                                               {"b", scalar()},
                                                               {"seen", scalar()},
                                                               {"slot.m/old", vector()},
                                                               {"slot.m/b", scalar()}};
  CHECK(f.loading(tensors, {.renames = {{"old", "fc.W"}}, .with_slots = true}) == "");
  CHECK(reinterpret_cast<const float*>(f.weights.slots.data())[2] == 3);
  CHECK(f.loading(tensors, {.renames = {{"none", "fc.W"}}}) == "--rename none=fc.W: the file has no `none`");
  CHECK(f.loading(tensors, {.renames = {{"old", "b"}}}) == "after --rename two tensors have the key `b`");
  CHECK(parse_rename("a=b") == std::pair<std::string, std::string>("a", "b"));
  for (const char* text : {"a", "=b", "a="}) CHECK(problem_of([&] { parse_rename(text); }) != "");
}

TEST_CASE("checkpoint: slots are ignored unless a training goes on") {
  Fixture f;
  const std::vector<std::pair<std::string, Tensor>> tensors = {
      {"fc.W", vector()}, {"b", scalar()}, {"seen", scalar()}, {"slot.v/b", scalar()}};
  CHECK(f.loading(tensors) == "");
  CHECK(f.loading(tensors, {.with_slots = true}) ==
        "does not fit the model in 3 tensors:\n"
        "  missing `slot.m/fc.W`, f32[3]\n"
        "  missing `slot.m/b`, f32[]\n"
        "  extra `slot.v/b`, f32[]");
}

TEST_CASE("checkpoint: the best weights go with an interrupted training") {
  Fixture f;
  Weights best = f.model.zero_weights();
  part_of(best.params, f.model.params()[1])[3] = std::byte{0x40};
  save_checkpoint(f.path, f.model, f.weights, &best, {});
  Weights read = f.model.zero_weights();
  const Checkpoint checkpoint = load_checkpoint(f.path, f.model, read, {.with_slots = true});
  REQUIRE(checkpoint.best);
  CHECK(checkpoint.best->params == best.params);
  CHECK(read.params == f.weights.params);
  CHECK_FALSE(load_checkpoint(f.path, f.model, read, {}).best);
}

}  // namespace mlpc::runtime
