#include "compiler/passes/windows.h"

namespace mlpc::passes {

std::string window_letters(const ir::Graph& graph, ir::ValueId v, std::string letters) {
  std::string out;
  for (const ir::Node* node = &graph.producer(v); node->op == ir::Op::window_;
       node = &graph.producer(graph.operands(*node)[0])) {
    const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(node->attributes[0]));
    out += letters.substr(axis, 2);
    letters.erase(axis + 1, 1);
  }
  return out;
}

}  // namespace mlpc::passes
