#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ir/builder.h"

namespace mlpc::frontend {

/// A loop whose turns were elaborated one by one: turn k made the nodes from begins[k] to begins[k + 1].
struct ElaboratedLoop {
  std::vector<std::uint32_t> begins;
  int depth;  // loops around it
  std::uint32_t location;
  std::size_t turns() const { return begins.size() - 1; }
};

/// One graph under construction, with the parameters that were asked for; an entry's, or a body's.
struct Target {
  explicit Target(std::string name) : builder(graph) { graph.name = std::move(name); }

  struct Objective {
    ir::Role role;
    std::string name;
    ir::ValueId value;
  };

  ir::Graph graph;
  ir::Builder builder;
  // Of a body: the graph that runs it, and what that hands over, by index.
  Target* outer = nullptr;
  std::vector<ir::ValueId> consts, loops, sequences;
  std::vector<std::pair<std::uint32_t, std::uint32_t>>
      state_loops;                              // index in the table, index of the loop value
  std::map<ir::ValueId, ir::ValueId> captured;  // parameters by the value, a const, that they stand for
  std::map<std::pair<ir::Role, std::uint32_t>, ir::ValueId> parameters;
  std::map<std::uint32_t, ir::ValueId> new_state;  // by index: what `<-` gave
  std::vector<Objective> objectives;               // in source order
  std::vector<ElaboratedLoop> loops_done;          // inner ones before those around them
  int loops_open = 0;

  Target& root() { return outer ? outer->root() : *this; }
  bool is_inside(const Target* other) const { return this == other || (outer && outer->is_inside(other)); }
};

}  // namespace mlpc::frontend
