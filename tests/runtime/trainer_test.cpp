#include "runtime/trainer.h"

#include <doctest/doctest.h>

#include "runtime/files.h"
#include "runtime/pool.h"
#include "runtime/progress.h"
#include "tests/runtime/linear_model.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

constexpr const char* kStopping =
    R"({"batch":8,"epochs":12,"seed":5,"early_stop":{"metric":"val.mae","patience":2,"mode":"min"}})";

struct Session {
  explicit Session(const char* train = R"({"batch":8,"epochs":3,"seed":5})", const Workers& workers = {},
                   std::int64_t rows = 20)
      : model(linear_with(train)),
        training(data(rows, "train_step")),
        validation(data(7, "loss")),
        trainer(model, training, &validation, parse_train_settings(train, "linear"), workers) {}

  Dataset data(std::int64_t rows, const char* entry) const {
    const mlpc_entry* const entries[] = {&model.entry(entry)};
    return make_dataset(model, linear_data(rows), entries);
  }

  /// Trains; stops as Ctrl-C would after so many steps, if > 0.
  Trainer::Outcome run(std::int64_t steps = 0) {
    std::atomic<bool> is_interrupted = false;
    return trainer.train(is_interrupted, [&](const TrainReport& report) {
      lines.push_back(report.is_end_of_epoch ? epoch_line(report) : "");
      is_interrupted = report.step == steps;
    });
  }

  Model model;
  Dataset training, validation;
  Trainer trainer;
  std::vector<std::string> lines;
};

}  // namespace

TEST_CASE("trainer: steps are epochs by batches, the short one too, and the loss falls") {
  Session session;
  session.trainer.initialise();
  CHECK(session.run() == Trainer::Outcome::finished);
  CHECK(session.trainer.step() == 9);
  CHECK(session.lines.size() == 9);
  CHECK(reinterpret_cast<const float*>(session.trainer.weights.state.data())[0] == 60);
  CHECK(session.lines[2].starts_with("epoch 1/3  loss "));
  CHECK(session.lines[2].find("  val.mae ") != std::string::npos);
  Batches rows(session.validation, {});
  Weights fresh;
  initialise(session.model, fresh, 5);
  const double before = evaluate(session.model, fresh, rows, {})[0].value;
  CHECK(evaluate(session.model, session.trainer.weights, rows, {})[0].value < before / 2);
}

TEST_CASE("trainer: a loop over train_step in the public order ends with the same bits") {
  Session session;
  session.trainer.initialise();
  session.run();
  const mlpc_model& table = session.model.table();
  const mlpc_entry& entry = session.model.entry("train_step");
  Weights weights;
  initialise(session.model, weights, 5);
  std::int64_t order[20], step = 0;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    mlpc_order(5, epoch, 20, order);
    for (std::int64_t first = 0; first < 20; first += 8, ++step) {
      const std::int64_t rows = std::min<std::int64_t>(8, 20 - first);
      float x[24], y[8], results[3];
      std::int32_t k[8];
      for (std::int64_t i = 0; i < rows; ++i) {
        const auto from = static_cast<std::size_t>(order[first + i]);
        for (std::size_t j = 0; j < 3; ++j)
          x[i * 3 + static_cast<std::int64_t>(j)] =
              session.training.column("x").tensor.as<float>()[from * 3 + j];
        k[i] = session.training.column("k").tensor.as<std::int32_t>()[from];
        y[i] = session.training.column("y").tensor.as<float>()[from];
      }
      mlpc_plan plan{};
      REQUIRE(table.plan(&plan, &rows, 1, MLPC_TRAIN_STEP) == MLPC_OK);
      Bytes workspace(static_cast<std::size_t>(plan.workspace_bytes));
      const void* inputs[] = {x, k, y};
      void* outputs[] = {&results[0], &results[1], &results[2]};
      mlpc_args args{.size = sizeof args, .inputs = inputs, .results = outputs};
      args.params = weights.params.data();
      args.state = weights.state.data();
      args.slots = weights.slots.data();
      args.workspace = workspace.data();
      args.seed = 5;
      args.step = step;
      args.steps = 9;
      args.epoch = epoch;
      REQUIRE(entry.call(&plan, &args) == MLPC_OK);
    }
  }
  CHECK(weights.params == session.trainer.weights.params);
  CHECK(weights.slots == session.trainer.weights.slots);
}

TEST_CASE("trainer: interrupted anywhere and resumed, a training has the bits of an uninterrupted one") {
  for (const char* train :
       {R"({"batch":8,"epochs":3,"seed":5})", kStopping, R"({"batch":8,"steps":10,"seed":5})"}) {
    const TemporaryDirectory directory;
    Session whole(train);
    whole.trainer.initialise();
    const auto outcome = whole.run();
    whole.trainer.save(directory.file("whole"));
    for (std::int64_t stop = 1; stop < whole.trainer.step(); ++stop) {
      CAPTURE(stop);
      Session first(train), second(train);
      first.trainer.initialise();
      REQUIRE(first.run(stop) == Trainer::Outcome::interrupted);
      CHECK(first.trainer.step() == stop);
      first.trainer.save(directory.file("part"));
      second.trainer.resume(directory.file("part"));
      CHECK_FALSE(second.trainer.other_source);
      CHECK(second.run() == outcome);
      second.trainer.save(directory.file("resumed"));
      CHECK(read_file(directory.file("resumed")) == read_file(directory.file("whole")));
      std::vector<std::string> lines = first.lines;
      lines.insert(lines.end(), second.lines.begin(), second.lines.end());
      CHECK(lines == whole.lines);
    }
  }
}

TEST_CASE("trainer: early stopping restores the best weights, and a resumed one stays stopped") {
  const TemporaryDirectory directory;
  constexpr const char* kWorse =
      R"({"batch":8,"epochs":12,"seed":5,"early_stop":{"metric":"val.mae","patience":2,"mode":"max"}})";
  Session session(kWorse), one_epoch(R"({"batch":8,"steps":3,"epochs":12,"seed":5})");
  session.trainer.initialise();
  CHECK(session.run() == Trainer::Outcome::stopped_early);
  CHECK(session.trainer.step() == 9);  // the first epoch is the worst, so the best for "max"; then two more
  session.trainer.save(directory.file("w"));
  Session again(kWorse);
  again.trainer.resume(directory.file("w"));
  CHECK(again.run() == Trainer::Outcome::stopped_early);
  CHECK(again.trainer.step() == 9);
  CHECK(again.trainer.weights.params == session.trainer.weights.params);
  CHECK(reinterpret_cast<const float*>(session.trainer.weights.state.data())[0] == 20);
}

TEST_CASE("trainer: threads do not change the bits") {
  mlpc_pool* pool = mlpc_pool_new(3);
  Session one, three(R"({"batch":8,"epochs":3,"seed":5})", {3, mlpc_pool_parallel, pool});
  one.trainer.initialise();
  three.trainer.initialise();
  one.run();
  three.run();
  mlpc_pool_free(pool);
  CHECK(one.trainer.weights.params == three.trainer.weights.params);
}

TEST_CASE("trainer: a loss that is not finite ends it and names the step") {
  Session session;
  session.trainer.initialise();
  for (float& y : session.training.columns[2].tensor.as<float>()) y = 3e38F;
  CHECK(problem_of([&] { session.run(); }).starts_with("linear: the loss is not finite in step 1, epoch 1"));
}

TEST_CASE("trainer: a label out of range is named as it stands in the file") {
  Session session;
  session.trainer.initialise();
  session.training.columns[1].tensor.as<std::int32_t>()[17] = -1;
  CHECK(problem_of([&] { session.run(); }) == "k=K: element 17 is -1, outside 0 … 3 of the input `k`");
}

TEST_CASE("trainer: a checkpoint of other data or with damaged metadata is refused") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("w");
  Session session;
  session.trainer.initialise();
  session.run(4);
  session.trainer.save(path);
  Session other(R"({"batch":8,"epochs":3,"seed":5})", {}, 21);
  CHECK(problem_of([&] { other.trainer.resume(path); }) ==
        path + ": was trained in batches of B 8 of 20; now they are B 8 of 21");
  Session in_parts(R"({"batch":8,"epochs":3,"seed":5,"accumulate":2})");
  CHECK(problem_of([&] { in_parts.trainer.resume(path); }) ==
        path + ": was trained with steps of 1 batches; now of 2");
  const auto with = [&](const std::string& key, const std::string& value) {
    Metadata metadata =
        load_checkpoint(path, session.model, session.trainer.weights, {.with_slots = true}).metadata;
    metadata[key] = value;
    if (value.empty()) metadata.erase(key);
    save_checkpoint(directory.file("bad"), session.model, session.trainer.weights, nullptr, metadata);
    Session fresh;
    return problem_of([&] { fresh.trainer.resume(directory.file("bad")); });
  };
  CHECK(with("step", "") != "");
  CHECK(with("step", "4x").ends_with("the metadata `step` is `4x`, no number"));
  CHECK(with("position", "20") != "");
  CHECK(with("position", "3") != "");
  CHECK(with("epoch", "-1") != "");
  CHECK(with("sum.loss", "") != "");
  CHECK(with("seed", "5") == "");
}

TEST_CASE("trainer: gradients of several batches make one step, as one batch of all their rows would") {
  const char* settings = R"({"batch":4,"epochs":3,"seed":5,"accumulate":2})";
  Session parts(settings), whole(R"({"batch":8,"epochs":3,"seed":5})");
  for (Session* session : {&parts, &whole}) {
    session->trainer.initialise();
    CHECK(session->run() == Trainer::Outcome::finished);
    CHECK(session->trainer.step() == 9);  // the third of an epoch is of one batch
    CHECK(reinterpret_cast<const float*>(session->trainer.weights.state.data())[0] == 60);
  }
  // The same bits, as the shares are powers of two, and this model sums row by row.
  CHECK(parts.trainer.weights.params == whole.trainer.weights.params);

  const TemporaryDirectory directory;
  Session first(settings), second(settings);
  first.trainer.initialise();
  first.run(4);
  first.trainer.save(directory.file("w"));
  second.trainer.resume(directory.file("w"));
  second.run();
  CHECK(second.trainer.weights.params == parts.trainer.weights.params);
}

TEST_CASE("trainer: settings that it does not know or cannot follow are refused") {
  const auto parse = [](const char* json) { return problem_of([&] { parse_train_settings(json, "m"); }); };
  CHECK(parse(R"({"batch":64,"epochs":2,"accumulate":1})") == "");
  CHECK(parse(R"({"accumulate":0})") == "m: the setting `accumulate` is 0");
  CHECK(parse(R"({"rows":4})") == "m: there is no setting `rows`");
  CHECK(parse(R"({"batch":0})") == "m: the setting `batch` is 0");
  CHECK(parse(R"({"batch":{}})") == "m: the setting `batch` is {}");
  CHECK(problem_of([] { Session(R"({"batch":{"N":4},"epochs":1})"); }) ==
        "linear: `batch` names N, which is no free dim");
  CHECK(parse(R"({"early_stop":{"metric":"ce","patience":3,"mode":"up"}})") != "");
  CHECK(parse("{") != "");
  CHECK(parse("[]") != "");
  CHECK(problem_of([] { Session("{}"); }).find("neither `epochs` nor `steps`") != std::string::npos);
  CHECK(problem_of([] { Session(R"({"epochs":1,"early_stop":{"metric":"ce","patience":3}})"); }) ==
        "linear: `early_stop` watches val.ce, which is no loss or metric");
  CHECK(parse_train_settings(R"({"batch":{"N":4,"M":2}})", "m").batches ==
        std::vector<std::pair<std::string, std::int64_t>>{{"M", 2}, {"N", 4}});
}

TEST_CASE("trainer: durations and values are short to read") {
  CHECK(text_of_duration(3.4) == "0:03");
  CHECK(text_of_duration(125) == "2:05");
  CHECK(text_of_duration(3723) == "1:02:03");
  CHECK(text_of({{"ce", 0.412345}, {"acc", 1}}, "val.") == "val.ce 0.4123  val.acc 1");
}

}  // namespace mlpc::runtime
