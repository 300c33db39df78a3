#include "compiler/autodiff/explain.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>
#include <sstream>

#include "compiler/autodiff/autodiff.h"
#include "ir/builder.h"
#include "ir/error.h"
#include "ir/text.h"
#include "tests/support/golden.h"
#include "tests/support/random_program.h"
#include "tests/support/scalar_program.h"

namespace mlpc {
namespace {

using namespace ir;
using testing::program_of_lines;

constexpr std::int64_t kExtent = 7;  // of the free dim

std::int64_t extent(std::string_view) { return kExtent; }

bool replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) return false;
  text.replace(at, from.size(), to);
  return true;
}

/// "body.3" as "body.7" where four bodies stand before.
std::string renumbered(const std::string& text, std::size_t bodies_before) {
  static const std::regex kBody(R"(body\.(\d+))");
  std::string out;
  std::size_t at = 0;
  for (std::sregex_iterator m(text.begin(), text.end(), kBody), end; m != end; ++m) {
    out += text.substr(at, static_cast<std::size_t>(m->position()) - at) + "body." +
           std::to_string(std::stoul((*m)[1]) + bodies_before);
    at = static_cast<std::size_t>(m->position() + m->length());
  }
  return out + text.substr(at);
}

std::size_t count_bodies(const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = text.find("graph body."); at != std::string::npos;
       at = text.find("graph body.", at + 1))
    ++count;
  return count;
}

/// What was printed, as graphs: the bodies of loops; and the forward graph's lines, the parameter's tangent
/// as an input, then a line for each factor and the sums; its result is ∂L/∂p · ṗ.
class PrintedProduct {
 public:
  explicit PrintedProduct(const std::string& text) {
    std::istringstream lines(text);
    std::string body;  // that lines are in
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("    graph body.")) body = line.substr(10, line.find(" {") - 10);
      if (!body.empty()) bodies_[body] += line.substr(4) + "\n", bodies_text_ += line.substr(4) + "\n";
      if (line == "    }") body.clear();
    }
    lines.clear();
    lines.seekg(0);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("J(")) add_factor(line);
  }

  /// The lines, and the name of the value that is the loss's tangent.
  const std::string& lines() const { return lines_; }
  std::string last() const { return tangents_.empty() ? "" : tangents_.back().second; }
  std::string first() const { return first_; }
  const std::string& bodies() const { return bodies_text_; }

 private:
  std::string tangent_of(const std::string& name) const {
    for (const auto& [known, value] : tangents_)
      if (known == name) return value;
    return "";
  }

  /// The types of what a body returns with that role, in their order.
  std::vector<std::string> types_returned(const std::string& body, std::string_view role) const {
    std::map<std::string, std::string> types;
    std::vector<std::string> out;
    std::istringstream lines(bodies_.at(body));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("  %")) {
        std::istringstream names(line.substr(2, line.find(" = ") - 2)),
            found(line.substr(line.rfind(" : ") + 3));
        for (std::string name; names >> name;) {
          std::string type, more;
          found >> type;
          while (type.find(']') == std::string::npos && found >> more) type += " " + more;
          types[name.substr(0, name.find(','))] = type.substr(0, type.find(']') + 1);
        }
      }
      if (line.starts_with(fmt::format("  return {} ", role)))
        out.push_back(types.at(line.substr(line.rfind(' ') + 1)));
    }
    return out;
  }

  /// The types of all results of a loop that is called so.
  std::vector<std::string> types_of_loop(const std::string& call) const {
    const auto word = [&](const std::string& before, char after) {
      const std::size_t from = call.find(before) + before.size();
      return call.substr(from, call.find(after, from) - from);
    };
    std::vector<std::string> out = types_returned(word("body=", ','), "loop");
    for (const std::string& type : types_returned(word("body=", ','), "stacked")) {
      const std::size_t open = type.find('[') + 1;
      out.push_back(type.substr(0, open) + word("length=[", ']') + (type[open] == ']' ? "" : ", ") +
                    type.substr(open));
    }
    return out;
  }

  /// "J(z, x) = op(a, ·) : from -> to"
  void add_factor(const std::string& line) {
    const std::size_t comma = line.find(", "), close = line.find(") = "), colon = line.rfind(" : "),
                      arrow = line.rfind(" -> ");
    const std::string to = line.substr(2, comma - 2), from = line.substr(comma + 2, close - comma - 2);
    const std::string type = line.substr(arrow + 4);
    std::string call = line.substr(close + 4, colon - close - 4);
    if (first_.empty()) {
      first_ = from;
      tangents_.emplace_back(from, "p.dot");
    }
    while (replace(call, "·", "%" + tangent_of(from))) {
    }
    write_zeros(call);
    const std::string term = fmt::format("u{}", ++count_), before = tangent_of(to);
    write_term(term, call, type);
    if (before.empty()) {
      tangents_.emplace_back(to, term);
      return;
    }
    lines_ += fmt::format("%u{} = add(%{}, %{}) : {}\n", ++count_, before, term, type);
    std::ranges::find(tangents_, to, &std::pair<std::string, std::string>::first)->second =
        fmt::format("u{}", count_);
  }

  /// The operands "0 : f64[2]" become values.
  void write_zeros(std::string& call) {
    for (std::size_t at = call.find("0 : "); at != std::string::npos; at = call.find("0 : ")) {
      const std::size_t end = call.find(']', at) + 1;
      const std::string zero_type = call.substr(at + 4, end - at - 4), number = std::to_string(++count_);
      const std::string shape = zero_type.substr(zero_type.find('['));
      lines_ += fmt::format("%z{0}s = constant(; value=f64(0)) : f64[]\n", number);
      lines_ +=
          fmt::format("%z{0} = broadcast(%z{0}s; shape={1}, axes=[]) : {2}\n", number, shape, zero_type);
      call.replace(at, end - at, "%z" + number);
    }
  }

  /// "call" or, where the op has several results, "call, result 1".
  void write_term(const std::string& term, const std::string& call, const std::string& type) {
    const std::size_t which = call.rfind("), result ");
    if (which == std::string::npos) {
      lines_ += fmt::format("%{} = {} : {}\n", term, call, type);
      return;
    }
    const std::size_t result = std::stoul(call.substr(which + 10));
    const std::vector<std::string> types = types_of_loop(call);
    CHECK(types.at(result) == type);
    std::string results, all;
    for (std::size_t i = 0; i < types.size(); ++i) {
      results += i ? ", " : "";
      results += i == result ? "%" + term : fmt::format("%{}.{}", term, i);
      all += (i ? ", " : "") + types[i];
    }
    lines_ += fmt::format("{} = {} : {}\n", results, call.substr(0, which + 1), all);
  }

  std::map<std::string, std::string> bodies_;  // by name
  std::string bodies_text_, lines_, first_;
  std::vector<std::pair<std::string, std::string>> tangents_;  // by name: its value so far
  std::size_t count_ = 0;
};

/// ∂L/∂p · ṗ by the printed product; nullopt where it is 0.
std::optional<double> printed_derivative(const Program& linear, std::uint32_t param,
                                         const HostTensor& direction) {
  Program program = linear;
  program.stage = Stage::graph;
  std::erase_if(program.graphs, [](const Graph& g) { return g.name != "forward"; });
  std::erase_if(program.graphs[0].results, [](const Graph::Result& r) { return r.role == Role::residual; });
  program.inputs.push_back({"p.dot", linear.params[param].type});
  std::string text = print(program);
  const PrintedProduct product(
      renumbered(autodiff::explain(linear, linear.params[param].path), count_bodies(text)));
  if (product.last().empty()) return std::nullopt;
  text.insert(text.find("graph forward {"), product.bodies());
  const std::string tangent = fmt::format("%p.dot = parameter input {} \"p.dot\" : {}\n",
                                          program.inputs.size() - 1, linear.params[param].type.text());
  const std::size_t at = text.find("  return ", text.find("graph forward {"));
  text.insert(at, tangent + product.lines() + fmt::format("return metric 9 \"dot\" %{}\n", product.last()));
  const Program whole = parse_program(text, "printed");
  const Graph& graph = whole.graphs[0];
  std::vector<HostTensor> arguments = testing::arguments_for(graph, kExtent);
  for (std::size_t i = 0; i < arguments.size(); ++i)
    if (graph.parameters()[i].name == "p.dot") arguments[i] = direction;
  const std::vector<HostTensor> results = evaluate(graph, arguments, extent);
  for (std::size_t i = 0; i < results.size(); ++i)
    if (graph.results[i].name == "dot") return results[i].values[0];
  return std::nullopt;
}

TEST_CASE("the printed product of random nets, evaluated, is the gradient") {
  std::size_t compared = 0, loops = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    testing::Random random(seed);
    const Program linear = autodiff::linearise(testing::random_program(15, random));
    const Program jacobian = autodiff::transpose(linear);
    const Graph& grad = *jacobian.find("grad");
    std::vector<HostTensor> arguments = testing::arguments_for(grad, kExtent);
    for (std::size_t i = 0; i < arguments.size(); ++i)
      if (grad.parameters()[i].role == Role::loss_bar) arguments[i].values[0] = 1;
    const std::vector<HostTensor> results = evaluate(grad, arguments, extent);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Graph::Result& r = grad.results[i];
      if (r.role != Role::grad) continue;
      const HostTensor direction = testing::random_direction(linear.params[r.index].type, random);
      double expected = 0, scale = 1;
      for (std::size_t j = 0; j < direction.values.size(); ++j) {
        expected += results[i].values[j] * direction.values[j];
        scale += std::abs(results[i].values[j] * direction.values[j]);
      }
      if (!std::isfinite(expected)) continue;
      const double printed = printed_derivative(linear, r.index, direction).value_or(0);
      INFO(seed, " ", r.name);
      CHECK(std::abs(printed - expected) <= 1e-9 * scale);
      compared += expected != 0;
      loops += autodiff::explain(linear, linear.params[r.index].path).find("each turn:") != std::string::npos;
    }
  }
  CHECK(compared > 120);
  CHECK(loops > 10);
}

TEST_CASE("the lecture's network is explained") {
  const Program linear =
      autodiff::linearise(parse_program(testing::golden_input("jacobian/lecture.ir"), "lecture"));
  const std::string text = autodiff::explain(linear, "w5");
  CHECK(text.starts_with("∂L/∂w5 : f64[]\n\n∂L/∂w5 = "));
  CHECK(text.find("a3.bar = ") != std::string::npos);  // where both paths meet
  CHECK(text.find("J(z3, ") != std::string::npos);
  CHECK(text.find("w1.dot") == std::string::npos);
}

TEST_CASE("exponentially many paths are explained in linear space") {
  const auto size = [](std::size_t layers) {
    std::string lines;
    std::string h = "a";
    for (std::size_t i = 0; i < layers; ++i) {
      lines += fmt::format(
          "%t{0} = tanh(%{1}) : f64[]\n %s{0} = sin(%{1}) : f64[]\n %h{0} = add(%t{0}, %s{0}) : f64[]\n", i,
          h);
      h = fmt::format("h{}", i);
    }
    lines += fmt::format("%y = neg(%{}) : f64[]", h);
    return autodiff::explain(autodiff::linearise(program_of_lines(lines)), "a").size();
  };
  const std::size_t small = size(60);
  CHECK(small < 60 * 1000);
  CHECK(size(120) < 2.2 * static_cast<double>(small));
}

TEST_CASE("what cannot be explained is refused") {
  const Program linear = autodiff::linearise(program_of_lines("%y = mul(%a, %a) : f64[]", 2));
  CHECK_THROWS_WITH_AS(autodiff::explain(linear, "c"), "the model has no parameter `c`; there are: a b",
                       Error);
  CHECK(autodiff::explain(linear, "b") == "∂L/∂b : f64[]\n  = 0: no path leads from it to the loss\n");
  Program none = linear;
  std::erase_if(none.graphs, [](const Graph& g) { return g.name == "linear"; });
  CHECK_THROWS_WITH_AS(autodiff::explain(none, "a"), "the model has no loss: there is no gradient to explain",
                       Error);
}

}  // namespace
}  // namespace mlpc
