#pragma once

#include "compiler/frontend/elaborator.h"

namespace mlpc::frontend {

/// The graph at hand is the one around it, for as long as this lives.
class Around {
 public:
  explicit Around(Elaborator& el, Target& body) : el_(el), inside_(el.target) { el.target = body.outer; }
  Around(const Around&) = delete;
  ~Around() { el_.target = inside_; }

 private:
  Elaborator& el_;
  Target* inside_;
};

/// A new parameter of a body: what it is called, what it stands for in the graph around, and its type at one
/// turn.
ir::ValueId hand_over(Target& body, ir::Role role, const std::string& name, ir::ValueId outside,
                      const ir::Type& type);

}  // namespace mlpc::frontend
