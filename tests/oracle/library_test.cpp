#include <doctest/doctest.h>

#include "tests/oracle/replay.h"
#include "tests/support/compiled/compiled.h"

// The library's activations, losses, layers and optimizers against what PyTorch computes: values, first and
// second derivatives, new state, and parameters after each of several steps.

namespace mlpc::testing {
namespace {

using ir::Graph;
using ir::Role;

constexpr double kTolerance = 1e-9;  // of the largest entry of each tensor
const std::vector<std::string> kEntries = {"hvp"};
constexpr std::size_t kOneInCompiled = 12;  // records that are compiled, too: that takes a second each

Named given_in(const nlohmann::json& record) {
  Named out = {{{Role::loss_bar, "loss_bar"}, {1}}};
  for (const auto& [name, values] : record.at("given").items())
    for (Role role : {Role::param, Role::input, Role::state}) out[{role, name}] = values.get<Numbers>();
  for (const auto& [name, values] : record.at("direction").items())
    out[{Role::tangent, name + ".dot"}] = values.get<Numbers>();
  return out;
}

/// What a record expects of inference, of training, and of the Hessian.
void check(const nlohmann::json& record, const Named& infer, const Named& grad, const Named& hvp) {
  const auto holds = [](const Named& values, Role role, const std::string& name, const Numbers& expected) {
    INFO(name);
    const auto found = values.find({role, name});
    REQUIRE(found != values.end());
    CHECK(error_of(found->second, expected) <= kTolerance);
  };
  for (const auto& [name, expected] : record.at("results").items())
    holds(infer, Role::output, name, expected.get<Numbers>());
  holds(grad, Role::loss_total, "loss", {record.at("loss").get<double>()});
  for (const auto& [name, expected] : record.at("grads").items())
    holds(grad, Role::grad, name, expected.get<Numbers>());
  for (const auto& [name, expected] : record.at("second").items())
    holds(hvp, Role::grad, name, expected.get<Numbers>());
  for (const auto& [name, expected] : record.at("state").items())
    holds(grad, Role::state, name, expected.get<Numbers>());
}

void replay(const std::string& group) {
  const nlohmann::json records = recorded(group);
  REQUIRE_FALSE(records.empty());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const nlohmann::json& record = records[i];
    INFO(record.at("name").get<std::string>());
    const ir::Program program = joint_program(record.at("source").get<std::string>(), kEntries);
    const Named given = given_in(record);
    const Graph &infer = *program.find("infer"), &grad = *program.find("grad"), &hvp = *program.find("hvp");
    check(record, evaluated(infer, given), evaluated(grad, given), evaluated(hvp, given));
    if (i % kOneInCompiled != 0) continue;
    INFO("compiled");
    const CompiledProgram compiled(program, 2);
    const auto run = [&](const Graph& g) {
      return named_results(g, compiled.run(g.name, arguments_of(g, given)));
    };
    check(record, run(infer), run(grad), run(hvp));
  }
}

}  // namespace

TEST_CASE("activations are PyTorch's") { replay("activations"); }
TEST_CASE("losses are PyTorch's") { replay("losses"); }
TEST_CASE("layers are PyTorch's") { replay("layers"); }
TEST_CASE("convolutions and pooling are PyTorch's") { replay("convolutions"); }
TEST_CASE("recurrent layers, embeddings and attention are PyTorch's") { replay("recurrent"); }

TEST_CASE("optimizers, clipping and schedules are PyTorch's, step by step") {
  for (const nlohmann::json& record : recorded("optimizers")) {
    INFO(record.at("name").get<std::string>());
    const ir::Program program = joint_program(record.at("source").get<std::string>());
    const Graph& update = *program.find("update");
    Named given;
    for (std::size_t i = 0; i < program.params.size(); ++i)
      given[{Role::param, program.params[i].path}] = record.at("start").at(i).get<Numbers>();
    given[{Role::steps, "steps"}] = {record.at("steps").get<double>()};
    for (std::size_t step = 0; step < record.at("gradients").size(); ++step) {
      INFO("step " << step);
      given[{Role::step, "step"}] = {static_cast<double>(step)};
      given[{Role::epoch, "epoch"}] = {record.at("epochs").at(step).get<double>()};
      for (std::size_t i = 0; i < program.params.size(); ++i)
        given[{Role::grad, program.params[i].path + ".grad"}] =
            record.at("gradients").at(step).at(i).get<Numbers>();
      for (const auto& [key, values] : evaluated(update, given))
        if (key.first == Role::param || key.first == Role::slot) given[key] = values;
      for (std::size_t i = 0; i < program.params.size(); ++i)
        CHECK(error_of(given.at({Role::param, program.params[i].path}),
                       record.at("expected").at(step).at(i).get<Numbers>()) <= kTolerance);
    }
  }
}

}  // namespace mlpc::testing
