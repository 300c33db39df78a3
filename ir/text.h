#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/kernel.h"
#include "ir/program.h"

namespace mlpc::ir {

// The text forms (ir/README.md teaches the notation). print(parse(print(p))) == print(p), and what was parsed
// compiles to the same bytes as what was printed. Readers throw mlpc::Error that begins "file:line:col:
// error:".

std::string print(const Program& program);
std::string print(const KernelProgram& program);
std::string print(const Kernel& kernel);
/// A graph alone, under its name: what its bodies are is not said.
std::string print(const Graph& graph);

/// The bodies that a text names, `body.0` and so on: each different one once, those inside first.
class BodyTable {
 public:
  const std::vector<Body>& bodies() const { return bodies_; }
  std::string name(const Body& body) const;

  void add_bodies(const Graph& graph);
  void add_body(const Node& node);

 private:
  std::vector<Body> bodies_;
  std::unordered_map<Body, std::size_t> numbers_;
};

/// `einsum("bi,ij->bj", %x, %W)`, `scan(%h; body=body.0, …)`: a node as the text form writes it, with these
/// words for its operands. Its body is in the table.
std::string call_text(const Node& node, std::span<const std::string> operands, const BodyTable& bodies);
/// `graph body.0 {…}`: the bodies from that number on.
std::string print_bodies(const BodyTable& bodies, std::size_t first);

Program parse_program(std::string_view text, std::string_view file);
KernelProgram parse_kernels(std::string_view text, std::string_view file);

/// What a text is, by its first line: "mlpc.graph", "mlpc.kernels", or neither (source).
enum class TextKind : std::uint8_t { source, graph, kernels };
TextKind kind_of_text(std::string_view text);

}  // namespace mlpc::ir
