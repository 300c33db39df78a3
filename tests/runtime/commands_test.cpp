#include "runtime/commands.h"

#include <doctest/doctest.h>
#include <stdio.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "runtime/checkpoint.h"
#include "runtime/files.h"
#include "runtime/npy.h"
#include "tests/runtime/linear_model.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

/// Data and weights of the linear model in files.
struct Fixture {
  TemporaryDirectory directory;
  Model model = linear();
  std::vector<std::string> inputs;
  WeightFile weights{directory.file("w.safetensors"), false, {}};

  Fixture() {
    for (const auto& [name, input] : linear_data(20)) {
      write_npy(directory.file(name + ".npy"), input.tensor.view());
      inputs.push_back(name + "=" + directory.file(name + ".npy"));
    }
    run_init(model, {weights.path, {}});
  }

  Tensor result(const std::string& name) const {
    const std::string path = directory.file("out/" + name + ".npy");
    return parse_npy(read_file(path), path);
  }

  RunOptions run(const std::string& entry) const {
    RunOptions out;
    out.entry = entry;
    out.weights = weights;
    out.inputs = inputs;
    out.output = directory.file("out");
    return out;
  }

  TrainOptions train(const std::string& output) const {
    TrainOptions out;
    out.inputs = inputs;
    out.output = directory.file(output);
    out.is_quiet = true;
    return out;
  }

  std::size_t result_count() const {
    const std::filesystem::directory_iterator begin(directory.file("out"));
    return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator()));
  }
};

/// What a command prints.
template <typename F>
std::string printed(const std::string& path, F f) {
  std::FILE* out = std::fopen(path.c_str(), "w");
  REQUIRE(out);
  f(out);
  std::fclose(out);
  return std::string(text_in(read_file(path)));
}

}  // namespace

TEST_CASE("run: each result is a file of its name") {
  const Fixture f;
  run_entry(f.model, f.run("infer"));
  CHECK(f.result("p").shape == Shape{20});
  CHECK(f.result_count() == 1);
  run_entry(f.model, f.run("loss"));
  CHECK(f.result("mae").shape.empty());
  CHECK(f.result_count() == 4);
  run_entry(f.model, f.run("grad"));
  CHECK(f.result("fc.W").shape == Shape{3});
  CHECK(f.result_count() == 6);
}

TEST_CASE("run: train_step and init give parameters and state") {
  const Fixture f;
  run_entry(f.model, f.run("train_step"));
  CHECK(f.result("seen").as<float>()[0] == 20);
  const Tensor stepped = f.result("fc.W");
  RunOptions init = f.run("init");
  init.inputs.clear();
  init.seed = 5;
  run_entry(f.model, init);
  CHECK(f.result("fc.W").bytes != stepped.bytes);
  CHECK(f.result("seen").as<float>()[0] == 0);
}

TEST_CASE("run: a mistake is named and writes nothing") {
  const Fixture f;
  const auto problem = [&](auto change) {
    RunOptions options = f.run("infer");
    change(options);
    return problem_of([&] { run_entry(f.model, options); });
  };
  CHECK(
      problem([](RunOptions& o) { o.weights.path.clear(); }).starts_with("--weights: the model linear has"));
  CHECK(problem([](RunOptions& o) { o.entry = "update"; }) != "");
  CHECK(problem([](RunOptions& o) { o.inputs.pop_back(); }) == "");  // `y`, which infer does not read
  std::filesystem::remove_all(f.directory.file("out"));
  CHECK(problem([](RunOptions& o) { o.inputs.erase(o.inputs.begin()); }) != "");
  CHECK(problem([](RunOptions& o) { o.threads = -2; }) == "--threads: cannot start -2 threads");
  CHECK_FALSE(std::filesystem::exists(f.directory.file("out")));
  CHECK(problem([&](RunOptions& o) { o.output = f.directory.file("x.npy"); }) != "");
}

TEST_CASE("eval: each value is a line") {
  const Fixture f;
  const std::string text = printed(f.directory.file("text"), [&](std::FILE* out) {
    EvalOptions options;
    options.weights = f.weights;
    options.inputs = f.inputs;
    options.out = out;
    run_eval(f.model, options);
  });
  CHECK(text.starts_with("loss "));
  CHECK(text.find("\nmse ") != std::string::npos);
  CHECK(std::ranges::count(text, '\n') == 3);
}

TEST_CASE("train: begins with init's weights of its seed, and writes a checkpoint and a line an epoch") {
  const Fixture f;
  TrainOptions plain = f.train("a"), given = f.train("b");
  plain.is_quiet = false;
  const std::string text = printed(f.directory.file("text"), [&](std::FILE* out) {
    plain.progress = out;
    CHECK(run_train(f.model, plain) == TrainOutcome::finished);
  });
  CHECK(std::ranges::count(text, '\n') == 3);
  CHECK(text.starts_with("epoch 1/3  loss "));
  CHECK(text.find('\r') == std::string::npos);
  given.weights = f.weights;
  run_train(f.model, given);
  CHECK(read_file(f.directory.file("a")) == read_file(f.directory.file("b")));
  TrainOptions other = f.train("c");
  other.seed = 6;
  run_train(f.model, other);
  CHECK(read_file(f.directory.file("c")) != read_file(f.directory.file("a")));
}

TEST_CASE("train: after Ctrl-C the state is saved, and --resume ends with the same file") {
  const Fixture f;
  TrainOptions whole = f.train("whole");
  whole.log = f.directory.file("whole.log");
  run_train(f.model, whole);
  TrainOptions cut = f.train("part");
  cut.is_quiet = false;
  cut.log = f.directory.file("part.log");
  struct sigaction before{};
  ::sigaction(SIGINT, nullptr, &before);
  // A line is printed at the end of each epoch; the stream raises the signal when the first one comes.
  cookie_io_functions_t functions{};
  functions.write = [](void*, const char*, std::size_t n) {
    std::raise(SIGINT);
    return static_cast<ssize_t>(n);
  };
  cut.progress = ::fopencookie(nullptr, "w", functions);
  REQUIRE(cut.progress);
  CHECK(run_train(f.model, cut) == TrainOutcome::interrupted);
  std::fclose(cut.progress);
  struct sigaction after{};
  ::sigaction(SIGINT, nullptr, &after);
  const bool is_restored = after.sa_handler == before.sa_handler;
  CHECK(is_restored);
  TrainOptions resumed = f.train("resumed");
  resumed.resume = f.directory.file("part");
  resumed.log = cut.log;
  CHECK(run_train(f.model, resumed) == TrainOutcome::finished);
  CHECK(read_file(f.directory.file("resumed")) == read_file(f.directory.file("whole")));
  CHECK(read_file(resumed.log) == read_file(whole.log));
}

TEST_CASE("train: a log has a line an epoch, or every nth and the last; --stats adds each parameter") {
  const Fixture f;
  TrainOptions options = f.train("w");
  options.log = f.directory.file("log");
  const auto lines = [&] {
    run_train(f.model, options);
    return std::string(text_in(read_file(options.log)));
  };
  const std::string plain = lines();
  CHECK(std::ranges::count(plain, '\n') == 3);
  CHECK(plain.starts_with(R"({"epoch":1,"epochs":3,)"));
  CHECK(plain.find("parameters") == std::string::npos);
  const Bytes weights = read_file(options.output);
  options.log_every = 2;
  options.has_norms = true;
  const std::string sparse = lines();
  CHECK(std::ranges::count(sparse, '\n') == 2);
  CHECK(sparse.starts_with(R"({"epoch":2,)"));
  CHECK(sparse.find(R"("parameters":{"fc.W":{"norm":)") != std::string::npos);
  CHECK(read_file(options.output) == weights);
}

TEST_CASE("train: an output that cannot be written is refused before the work") {
  const Fixture f;
  CHECK(problem_of([&] { run_train(f.model, f.train("none/w")); }).find("cannot create") !=
        std::string::npos);
  CHECK(problem_of([&] { run_train(f.model, f.train("")); }).find("is a directory") != std::string::npos);
}

TEST_CASE("info: names parameters, entries and settings") {
  const std::string text = model_info(linear());
  CHECK(text.starts_with("model linear\n"));
  CHECK(text.find("parameters: 4 in 2 tensors, 128 bytes\n  fc.W  f32[3] ~ uniform\n") != std::string::npos);
  CHECK(text.find("entry infer\n inputs:\n  x  f32[B, 3]\n  k  i32[B]  0 … 3\n") != std::string::npos);
}

}  // namespace mlpc::runtime
