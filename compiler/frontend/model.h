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

/// One setting of `train`: where it was written, in the source or on the command line.
struct Setting {
  const Expr* value;
  const SourceFile* file;
};
using Settings = std::map<std::string, Setting>;
Settings train_settings(Elaborator& elaborator, const SourceFile& file,
                        std::vector<std::unique_ptr<SourceFile>>& files,
                        std::vector<std::unique_ptr<Block>>& blocks);

/// By parameter: whether `freeze` names it.
std::vector<bool> frozen_parameters(Elaborator& elaborator, const Settings& settings, Scope* file_scope);

/// The JSON of the trainer's settings, and the graph `update` where there is an optimizer.
void build_training(Elaborator& elaborator, const Settings& settings, const std::vector<bool>& is_frozen,
                    Scope* file_scope);

}  // namespace mlpc::frontend
