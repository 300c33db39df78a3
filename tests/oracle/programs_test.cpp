#include <doctest/doctest.h>

#include <random>

#include "ir/error.h"
#include "tests/oracle/replay.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/files.h"

// The programs of the language's reference, small and in f64: compiled code against the evaluator, which
// shares nothing with it, and training against PyTorch's.

namespace mlpc::testing {
namespace {

using ir::Graph;
using ir::Role;

constexpr double kTolerance = 1e-9;  // of the largest entry of each result

using Changes = std::vector<std::pair<std::string, std::string>>;  // of the text

std::string changed(const std::string& name, const Changes& changes) {
  std::string out = testing::file_text("examples/" + name + ".net");
  for (const auto& [from, to] : changes) {
    const std::size_t at = out.find(from);
    if (at == std::string::npos) fail("{} has no `{}`", name, from);
    out.replace(at, from.size(), to);
  }
  return out;
}

/// Random values for all that a graph reads; integers are class or token numbers below 3.
Named some_values(const Graph& graph) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> real(-0.5, 0.5);
  Named out;
  for (const Graph::Parameter& p : graph.parameters()) {
    const ir::Type& type = graph.type(p.value);
    Numbers values(static_cast<std::size_t>(type.element_count().constant().value()));
    for (double& v : values)
      v = ir::is_float(type.element) ? real(random) : static_cast<double>(random() % 3);
    if (p.role == Role::state)
      for (double& v : values) v += 1;  // a variance
    if (p.role == Role::loss_bar) values = {1};
    if (p.role == Role::accumulate) values = {0};
    out[{p.role, p.name}] = values;
  }
  return out;
}

Named named(Role role, const nlohmann::json& values) {
  Named out;
  for (const auto& [name, numbers] : values.items()) out[{role, name}] = numbers.get<Numbers>();
  return out;
}

void check(const Named& values, const Named& expected) {
  for (const auto& [key, numbers] : expected) {
    INFO(key.second);
    const auto found = values.find(key);
    REQUIRE(found != values.end());
    CHECK(error_of(found->second, numbers) <= kTolerance);
  }
}

void check(const std::string& name, const Changes& changes) {
  CAPTURE(name);
  const ir::Program program = joint_program(changed(name, changes));
  const CompiledProgram compiled(program, 2);
  for (const char* entry : {"infer", "loss", "grad"}) {
    CAPTURE(entry);
    const Graph& graph = *program.find(entry);
    const Named given = some_values(graph), expected = evaluated(graph, given),
                values = named_results(graph, compiled.run(entry, arguments_of(graph, given)));
    check(values, expected);
  }
}

/// Trains as the record says, in machine code.
void train(const nlohmann::json& record) {
  Changes changes;
  for (const nlohmann::json& change : record.at("changes")) changes.emplace_back(change.at(0), change.at(1));
  const ir::Program program = joint_program(changed(record.at("program"), changes));
  const CompiledProgram compiled(program, 1);
  const auto run = [&](const char* entry, const Named& given) {
    const Graph& graph = *program.find(entry);
    return named_results(graph, compiled.run(entry, arguments_of(graph, given)));
  };

  Named given = named(Role::param, record.at("params"));
  given.merge(named(Role::state, record.at("state")));
  given[{Role::loss_bar, "loss_bar"}] = {1};
  const nlohmann::json& losses = record.at("losses");
  given[{Role::steps, "steps"}] = {static_cast<double>(losses.size())};
  for (std::size_t step = 0; step < losses.size(); ++step) {
    INFO("step " << step);
    for (auto& [key, values] :
         named(Role::input, record.at("batches").at(step % record.at("batches").size())))
      given[key] = values;
    given[{Role::step, "step"}] = {static_cast<double>(step)};
    given[{Role::epoch, "epoch"}] = {record.at("epochs").at(step).get<double>()};
    if (step == 0) {
      const Named first = run("grad", given);
      check(first, named(Role::grad, record.at("grads")));
      check(first, named(Role::loss_term, record.at("terms")));
    }
    Named after = run("train_step", given);
    check(after, {{{Role::loss_total, "loss"}, {losses.at(step).get<double>()}}});
    for (auto& [key, values] : after) given[key] = std::move(values);
  }
  check(given, named(Role::param, record.at("trained")));
  check(given, named(Role::state, record.at("trained state")));
}

}  // namespace

TEST_CASE("heat.net: second derivatives of a net inside its loss") {
  check("heat", {{"const K = 0.1", "const K = 0.1, N = 3, M = 2"}, {"[32, 32, 1]", "[4, 3, 1]"}});
}

TEST_CASE("tinygpt.net: attention, a tied embedding, repeated blocks") {
  check("tinygpt", {{"model tinygpt", "model tinygpt : f64"},
                    {"const D = 128, V = 256, MAX = 128", "const D = 8, V = 5, MAX = 4, B = 2, T = 3"},
                    {"repeat(4", "repeat(1"}});
}

TEST_CASE("tagger.net: recurrences over time, which is as long as it is") {
  check("tagger", {{"model tagger", "model tagger : f64"},
                   {"input w[B, T]", "const B = 2, T = 3\n  input w[B, T]"},
                   {"embed(5000, 64)", "embed(5, 3)"},
                   {"lstm(128)", "lstm(4)"},
                   {"gru(64)", "gru(3)"}});
}

TEST_CASE("resnet.net: convolutions, running statistics, blocks that change their width") {
  check("resnet", {{"model cifar", "model cifar : f64"},
                   {"input x[B, 3, 32, 32]", "const B = 2\n  input x[B, 3, 8, 8]"},
                   {"conv(32, 3)", "conv(2, 3)"},
                   {"[32, 64, 128]", "[2, 3]"}});
}

TEST_CASE("fifty steps of every program are PyTorch's, with two optimizers each") {
  for (const nlohmann::json& record : recorded("programs")) {
    INFO(record.at("name").get<std::string>());
    train(record);
  }
}

}  // namespace mlpc::testing
