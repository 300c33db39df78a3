#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ir/builder.h"

namespace mlpc::frontend {

/// One graph under construction, with the parameters that were asked for.
struct Target {
  explicit Target(std::string name) : builder(graph) { graph.name = std::move(name); }

  struct Objective {
    ir::Role role;
    std::string name;
    ir::ValueId value;
  };

  ir::Graph graph;
  ir::Builder builder;
  std::map<std::pair<ir::Role, std::uint32_t>, ir::ValueId> parameters;
  std::map<std::uint32_t, ir::ValueId> new_state;  // by index: what `<-` gave
  std::vector<Objective> objectives;               // in source order
};

}  // namespace mlpc::frontend
