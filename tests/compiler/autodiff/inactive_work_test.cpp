#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include "compiler/autodiff/autodiff.h"
#include "compiler/passes/pipeline.h"
#include "ir/text.h"
#include "tests/compiler/frontend/sources.h"
#include "tests/support/random_program.h"

// What a gradient does not need is not written, as the dumps show it: no op whose result nothing reads, no
// cotangent of a value to which no parameter leads, and no tensor of zeros that a linear op would only pass
// on.

namespace mlpc {
namespace {

using namespace ir;
using Names = std::vector<std::string>;

std::string joined(const Names& names) {
  std::string out;
  for (const std::string& name : names) out += name + "\n";
  return out;
}

/// "%a, %b = add(%c, 0; axes=[1]) : f64[], f64[]"
struct Line {
  Names results, operands;
  std::string op, text;
};

struct TextGraph {
  std::string name;
  std::vector<Line> lines;
  Names returned;  // "grad 0 "W" %W.bar"
};

Names values_in(const std::string& text) {
  Names out;
  for (std::size_t at = text.find('%'); at != std::string::npos; at = text.find('%', at + 1))
    out.push_back(text.substr(at, text.find_first_of(" ,;)=", at) - at));
  return out;
}

Line line_of(const std::string& text) {
  const std::size_t equals = text.find(" = "), open = text.find_first_of("( ", equals + 3);
  Line line;
  line.text = text.substr(0, text.find("  // "));
  line.results = values_in(text.substr(0, equals));
  line.op = text.substr(equals + 3, open - equals - 3);
  if (line.op != "parameter") line.operands = values_in(text.substr(open, text.find(')', open) - open));
  return line;
}

std::vector<TextGraph> graphs_in(const std::string& text) {
  std::vector<TextGraph> graphs;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("graph ")) graphs.push_back({line.substr(6, line.find(" {") - 6), {}, {}});
    if (line.starts_with("  %")) graphs.back().lines.push_back(line_of(line.substr(2)));
    if (line.starts_with("  return ")) graphs.back().returned.push_back(line.substr(9));
  }
  return graphs;
}

const TextGraph& graph_named(const std::vector<TextGraph>& graphs, std::string_view name) {
  for (const TextGraph& graph : graphs)
    if (graph.name == name) return graph;
  FAIL("no graph is called so");
  return graphs[0];
}

std::set<std::string> read_in(const TextGraph& graph) {
  std::set<std::string> out;
  for (const Line& line : graph.lines) out.insert(line.operands.begin(), line.operands.end());
  for (const std::string& line : graph.returned)
    for (const std::string& value : values_in(line)) out.insert(value);
  return out;
}

std::size_t number_after(const std::string& text, std::string_view word) {
  return std::stoul(text.substr(text.find(word) + word.size()));
}

/// Lines from `first` on of which nothing reads a result; of a loop all that it stacks are read, and what it
/// carries its turns may need.
Names dead_lines(const TextGraph& graph, std::size_t first) {
  const std::set<std::string> read = read_in(graph);
  Names out;
  for (std::size_t i = first; i < graph.lines.size(); ++i) {
    const Line& line = graph.lines[i];
    if (line.op == "parameter") continue;
    const std::size_t carried = line.op == "scan" ? number_after(line.text, "loops=") : 0;
    std::size_t unread = 0, unread_stacked = 0;
    for (std::size_t r = 0; r < line.results.size(); ++r) {
      unread += !read.contains(line.results[r]);
      unread_stacked += r >= carried && !read.contains(line.results[r]);
    }
    if (unread == line.results.size() || unread_stacked > 0) out.push_back(line.text);
  }
  return out;
}

/// Cotangents, from line `first` on, of values before it that no parameter of the model leads to.
Names inactive_cotangents(const TextGraph& graph, std::size_t first) {
  std::set<std::string> known, active;
  for (std::size_t i = 0; i < first; ++i) {
    const Line& line = graph.lines[i];
    bool is_active = line.text.find(" = parameter param ") != std::string::npos;
    for (const std::string& v : line.operands) is_active |= active.contains(v);
    known.insert(line.results.begin(), line.results.end());
    if (is_active) active.insert(line.results.begin(), line.results.end());
  }
  Names out;
  for (std::size_t i = first; i < graph.lines.size(); ++i)
    for (const std::string& v : graph.lines[i].results) {
      const std::string primal = v.substr(0, v.rfind(".bar"));
      if (primal != v && known.contains(primal) && !active.contains(primal))
        out.push_back(graph.lines[i].text);
    }
  return out;
}

/// Whether an op makes zeros, or its other operand, of zeros in this place. A branch of `where` may be zeros,
/// and so may what a loop starts with.
bool passes_zeros_on(const Line& line, std::size_t k) {
  if (line.op == "scan") {
    const std::size_t consts = number_after(line.text, "consts="), loops = number_after(line.text, "loops=");
    return k < consts || k >= consts + loops;
  }
  if (line.op == "where") return false;
  const std::optional<Op> op = op_named(line.op);
  if (!op) FAIL("no op is called " << line.op);
  const Derivative& fact = def(*op).derivative;
  if (const auto* linear = std::get_if<Linear>(&fact)) return linear->linear_operands >> k & 1U;
  if (const auto* product = std::get_if<Multilinear>(&fact)) return product->linear_operands >> k & 1U;
  return false;
}

/// Lines from `first` on that pass zeros on.
Names uses_of_zeros(const TextGraph& graph, std::size_t first) {
  std::set<std::string> zeros;
  Names out;
  for (std::size_t i = 0; i < graph.lines.size(); ++i) {
    const Line& line = graph.lines[i];
    const bool is_zero = line.op == "constant" && (line.text.find("=f32(0)") != std::string::npos ||
                                                   line.text.find("=f64(0)") != std::string::npos);
    const bool spreads = line.op == "broadcast" && zeros.contains(line.operands[0]);
    if (is_zero || spreads) zeros.insert(line.results[0]);
    if (i < first || spreads) continue;
    for (std::size_t k = 0; k < line.operands.size(); ++k)
      if (zeros.contains(line.operands[k]) && passes_zeros_on(line, k)) out.push_back(line.text);
  }
  return out;
}

struct Counted {
  std::size_t cotangents = 0, loops = 0, programs = 0;
};

/// A program of stage graph, without derivatives: checks the dumps of its gradient.
void check_inactive_work(const Program& program, Counted& counted) {
  // The user's ops stand first, and the cotangent of the loss.
  const std::size_t first = 1 + graph_named(graphs_in(print(program)), "forward").lines.size();
  const Program jacobian = autodiff::transpose(autodiff::linearise(program));
  for (const TextGraph& graph : graphs_in(print(jacobian))) {
    const bool is_body = graph.name.starts_with("body.");
    if (graph.name != "grad" && !is_body) continue;
    const std::size_t from = is_body ? 0 : first;
    CHECK(joined(dead_lines(graph, from)) == "");
    CHECK(joined(uses_of_zeros(graph, from)) == "");
    if (!is_body) CHECK(joined(inactive_cotangents(graph, first)) == "");
    counted.loops += is_body;
    for (const Line& line : graph.lines) counted.cotangents += line.results[0].ends_with(".bar");
  }
  for (const TextGraph& graph : graphs_in(print(passes::run_pipeline(program, Stage::joint)))) {
    INFO("joint, graph ", graph.name);
    CHECK(joined(dead_lines(graph, 0)) == "");
  }
  ++counted.programs;
}

TEST_CASE("gradients of random programs hold no dead op, no inactive cotangent and no zeros passed on") {
  Counted counted;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    testing::Random random(seed);
    INFO("seed ", seed);
    check_inactive_work(testing::random_program(20, random), counted);
  }
  CHECK(counted.loops > 20);
  CHECK(counted.cotangents > 500);
}

TEST_CASE("gradients of the examples hold no dead op, no inactive cotangent and no zeros passed on") {
  Counted counted;
  for (const char* name :
       {"lecture", "fashion", "mnist", "resnet", "tinygpt", "tagger", "heat", "pair_vae"}) {
    INFO(std::string(name));
    const Program program = testing::elaborated_program(name).program.value();
    check_inactive_work(autodiff::expand_derivatives(program), counted);
  }
  CHECK(counted.loops > 3);
  CHECK(counted.cotangents > 300);
}

}  // namespace
}  // namespace mlpc
