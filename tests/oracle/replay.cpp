#include "tests/oracle/replay.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "compiler/frontend/frontend.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/pipeline.h"
#include "ir/error.h"

namespace mlpc::testing {
namespace {

constexpr const char* kPlace = MLPC_SOURCE_DIR "/examples/oracle.net";  // beside what programs `use`

std::int64_t no_dim(std::string_view) { return 0; }

}  // namespace

nlohmann::json recorded(const std::string& group) {
  const std::string path = MLPC_SOURCE_DIR "/tests/oracle/recorded/" + group + ".json";
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("{} cannot be read", path);
  return nlohmann::json::parse(file);
}

ir::Program joint_program(const std::string& source, std::span<const std::string> entries) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  const std::optional<ir::Program> program = frontend::parse_net(source, kPlace, {}, diagnostics, files);
  if (!program) fail("{}{}", diagnostics.text(), source);
  return passes::run_pipeline(passes::add_entries(*program, entries), ir::Stage::joint);
}

std::vector<ir::HostTensor> arguments_of(const ir::Graph& graph, const Named& given) {
  std::vector<ir::HostTensor> out;
  for (const ir::Graph::Parameter& p : graph.parameters()) {
    ir::HostTensor t;
    std::size_t count = 1;
    for (const ir::Dim& d : graph.type(p.value).shape) {
      t.shape.push_back(d.constant().value());
      count *= static_cast<std::size_t>(t.shape.back());
    }
    const auto values = given.find({p.role, p.name});
    t.values = values == given.end() ? Numbers(count, 0) : values->second;
    if (t.values.size() != count) fail("{} has {} elements, not {}", p.name, count, t.values.size());
    out.push_back(std::move(t));
  }
  return out;
}

Named named_results(const ir::Graph& graph, const std::vector<ir::HostTensor>& values) {
  Named out;
  for (std::size_t i = 0; i < values.size(); ++i)
    out[{graph.results[i].role, graph.results[i].name}] = values[i].values;
  return out;
}

Named evaluated(const ir::Graph& graph, const Named& given) {
  return named_results(graph, ir::evaluate(graph, arguments_of(graph, given), no_dim));
}

double error_of(const Numbers& values, const Numbers& expected) {
  if (values.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double largest = 1e-3, error = 0;  // where all are 0, rounding is held against a thousandth
  for (double e : expected) largest = std::max(largest, std::abs(e));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) return std::numeric_limits<double>::infinity();
    error = std::max(error, std::abs(values[i] - expected[i]));
  }
  return error / largest;
}

}  // namespace mlpc::testing
