#include "tests/support/scalar_program.h"

#include <algorithm>
#include <optional>

#include "ir/error.h"
#include "ir/text.h"

namespace mlpc::testing {
namespace {

using namespace ir;

std::optional<ValueId> value_named(const Graph& graph, std::string_view name) {
  for (std::uint32_t i = 0; i < graph.value_count(); ++i)
    if (graph.value_name({i}) == name) return ValueId{i};
  return std::nullopt;
}

}  // namespace

Program program_of_lines(std::string_view lines, std::size_t param_count, std::string_view type) {
  std::string header, parameters;
  for (std::size_t k = 0; k < param_count; ++k) {
    const char name = static_cast<char>('a' + k);
    header += fmt::format("param \"{}\" : {} offset {} init \"\" @0\n", name, type, 4096 * k);
    parameters += fmt::format("  %{0} = parameter param {1} \"{0}\" : {2}\n", name, k, type);
  }
  return parse_program(
      fmt::format("mlpc.graph 1 graph\nmodel m : f64\nsource \"\"\ntarget \"x86-64-v4\"\n{}train \"{{}}\"\n"
                  "graph forward {{\n{}{}\n  return loss_total 0 \"loss\" %y\n}}\n",
                  header, parameters, lines),
      "test");
}

std::vector<HostTensor> values_by_name(const Graph& graph,
                                       const std::vector<std::pair<std::string, HostTensor>>& given) {
  std::vector<HostTensor> arguments;
  for (const Graph::Parameter& p : graph.parameters()) {
    const auto found = std::ranges::find(given, p.name, &std::pair<std::string, HostTensor>::first);
    arguments.push_back(found == given.end() ? HostTensor{{}, {1}} : found->second);
  }
  return evaluate_all(graph, arguments, [](std::string_view) { return std::int64_t{0}; });
}

double scalar_named(const Graph& graph, const std::vector<HostTensor>& values, std::string_view name) {
  const std::optional<ValueId> value = value_named(graph, name);
  if (!value) fail("graph {} has no value `{}`", graph.name, name);
  return values[value->index].values.at(0);
}

bool has_value_named(const Graph& graph, std::string_view name) {
  return value_named(graph, name).has_value();
}

}  // namespace mlpc::testing
