#pragma once

#include <span>
#include <string>
#include <string_view>

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
/// `einsum("bi,ij->bj", %x, %W)`: a node as the text form writes it, with these words for its operands.
std::string call_text(const Node& node, std::span<const std::string> operands);

Program parse_program(std::string_view text, std::string_view file);
KernelProgram parse_kernels(std::string_view text, std::string_view file);

/// What a text is, by its first line: "mlpc.graph", "mlpc.kernels", or neither (source).
enum class TextKind : std::uint8_t { source, graph, kernels };
TextKind kind_of_text(std::string_view text);

}  // namespace mlpc::ir
