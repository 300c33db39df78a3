#pragma once

#include <memory>
#include <vector>

#include "compiler/frontend/elaborator.h"

namespace mlpc::frontend {

/// Adds the graphs of a model to the elaborator's program: infer, loss and forward from its body, update and
/// train settings from `train`, init from the tables.
void build_model(Elaborator& elaborator, const Stmt& model, const SourceFile& file, Scope* file_scope,
                 std::vector<std::unique_ptr<SourceFile>>& files,
                 std::vector<std::unique_ptr<Block>>& blocks);

/// The JSON of the trainer's settings, and the graph `update` where there is an optimizer.
void build_training(Elaborator& elaborator, const SourceFile& file, Scope* file_scope,
                    std::vector<std::unique_ptr<SourceFile>>& files,
                    std::vector<std::unique_ptr<Block>>& blocks);

}  // namespace mlpc::frontend
