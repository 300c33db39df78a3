#include "compiler/frontend/frontend.h"

#include <algorithm>

#include "compiler/frontend/derivatives.h"
#include "compiler/frontend/formatter.h"
#include "compiler/frontend/model.h"
#include "compiler/frontend/parser.h"
#include "compiler/frontend/use.h"
#include "ir/error.h"

namespace mlpc::frontend {

// Made by CMake from std/*.net, in alphabetical order.
extern const std::vector<std::pair<std::string_view, std::string_view>> kStandardLibrary;

namespace {

constexpr std::size_t kLargestSource = 4 << 20;  // bytes

const SourceFile& keep(std::vector<std::unique_ptr<SourceFile>>& files, std::string name,
                       std::string_view text, bool is_library = false) {
  return *files.emplace_back(std::make_unique<SourceFile>(std::move(name), std::string(text), is_library));
}

bool is_readable(const SourceFile& file, Diagnostics& diagnostics) {
  if (file.text.size() > kLargestSource) {
    diagnostics.add({"too-large",
                     &file,
                     {0, 0},
                     fmt::format("the source has {} bytes; the most is {}", file.text.size(), kLargestSource),
                     {},
                     {}});
    return false;
  }
  return true;
}

/// The one model of a file.
const Stmt* find_model(const Block& block, const SourceFile& file, Diagnostics& diagnostics) {
  const Stmt* model = nullptr;
  for (const Stmt& s : block) {
    if (s.kind != Stmt::Kind::model) continue;
    if (model)
      diagnostics.add({"several-models",
                       &file,
                       s.name_span,
                       "this is a second model; a file has one",
                       {{&file, model->name_span, "the first is here"}},
                       {}});
    if (!model) model = &s;
  }
  if (!model && diagnostics.empty())
    diagnostics.add(
        {"no-model", &file, {0, 0}, "the file has no model", {}, "a network is written `model name { … }`"});
  return model;
}

/// A -D that names no const changes nothing, which is hardly what was meant.
void check_defines(const Unit& main, const UsedFiles& used, const FrontendOptions& options,
                   Diagnostics& diagnostics) {
  std::vector<std::string> names;
  const auto collect = [&](const Block& statements) {
    for (const Stmt& s : statements)
      if (s.kind == Stmt::Kind::constant) names.push_back(s.name);
  };
  collect(*main.block);
  for (const Unit& unit : used.in_order()) collect(*unit.block);
  for (const Stmt& s : *main.block)
    if (s.kind == Stmt::Kind::model) collect(s.body);
  for (const auto& [name, value] : options.defines) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    diagnostics.add({"bad-define",
                     main.file,
                     {0, 0},
                     fmt::format("-D {}={}: the file has no const `{}`", name, value, name),
                     {},
                     guess_of(name, names)});
  }
}

/// Everything that is elaborated.
struct Sources {
  Unit main;
  const Stmt* model;
  const UsedFiles& used;
  std::vector<Unit> library;
};

std::vector<Unit> parsed_library(Diagnostics& diagnostics, std::vector<std::unique_ptr<SourceFile>>& files,
                                 std::vector<std::unique_ptr<Block>>& blocks) {
  std::vector<Unit> out;
  for (const auto& [name, text] : kStandardLibrary) {
    const SourceFile& file = keep(files, "std/" + std::string(name), text, true);
    out.push_back({&file, blocks.emplace_back(std::make_unique<Block>(parse(file, diagnostics))).get()});
  }
  return out;
}

void elaborate(Elaborator& el, const Sources& sources, std::vector<std::unique_ptr<SourceFile>>& files,
               std::vector<std::unique_ptr<Block>>& blocks) {
  Target scratch("file");  // for constants; nothing of it is kept
  Elaborator::Frame frame;
  frame.kind = Elaborator::Frame::Kind::file;
  el.target = &scratch;
  el.frame = &frame;
  Scope* library_scope = el.new_scope(nullptr);
  library_scope->names["pi"] = {Value::real(3.14159265358979323846), nullptr, {}, std::nullopt};
  for (const Unit& unit : sources.library) el.define_all(*unit.block, *unit.file, library_scope);
  std::map<const Block*, Elaborator::Used> scopes;  // of the files that are used
  el.used = [&](const Stmt& use) { return scopes.at(sources.used.block_of(use)); };
  for (const Unit& unit : sources.used.in_order()) {
    Scope* scope = scopes.emplace(unit.block, Elaborator::Used{unit.file, el.new_scope(library_scope)})
                       .first->second.scope;
    el.define_all(*unit.block, *unit.file, scope);
  }
  Scope* file_scope = el.new_scope(library_scope);
  std::vector<const Block*> blocks_of_user = {sources.main.block};
  for (const Unit& unit : sources.used.in_order()) blocks_of_user.push_back(unit.block);
  el.derivative_targets = derivative_targets(blocks_of_user);
  try {
    el.define_all(*sources.main.block, *sources.main.file, file_scope);
    build_model(el, *sources.model, *sources.main.file, file_scope, files, blocks);
  } catch (const Failure&) {  // has been reported
  }
}

/// The text that the program's hash is of: the file's, and those of the files that it uses.
std::string hashed_text(const Sources& sources) {
  std::string out = sources.main.file->text;
  for (const Unit& unit : sources.used.in_order())
    out += fmt::format("\n# {}\n{}", unit.file->name, unit.file->text);
  return out;
}

}  // namespace

std::optional<ir::Program> parse_net(std::string_view source, const std::string& name,
                                     const FrontendOptions& options, Diagnostics& diagnostics,
                                     std::vector<std::unique_ptr<SourceFile>>& files) {
  std::vector<std::unique_ptr<Block>> blocks;
  const SourceFile& file = keep(files, name, source);
  if (!is_readable(file, diagnostics)) return std::nullopt;
  const Block& block = *blocks.emplace_back(std::make_unique<Block>(parse(file, diagnostics)));
  const Stmt* model = find_model(block, file, diagnostics);
  UsedFiles used(name, diagnostics, files, blocks);
  used.load({&file, &block});
  check_defines({&file, &block}, used, options, diagnostics);
  if (!model || !diagnostics.empty()) return std::nullopt;
  const Sources sources{{&file, &block}, model, used, parsed_library(diagnostics, files, blocks)};
  ir::Program program;
  if (options.hash) program.source_hash = options.hash(hashed_text(sources));
  Elaborator el(program, options, diagnostics);
  elaborate(el, sources, files, blocks);
  if (!diagnostics.empty()) return std::nullopt;
  return program;
}

std::optional<std::string> ast_text(std::string_view source, const std::string& name,
                                    Diagnostics& diagnostics,
                                    std::vector<std::unique_ptr<SourceFile>>& files) {
  const SourceFile& file = keep(files, name, source);
  if (!is_readable(file, diagnostics)) return std::nullopt;
  const Block block = parse(file, diagnostics);
  if (!diagnostics.empty()) return std::nullopt;
  return print_ast(block);
}

std::optional<std::string> formatted(std::string_view source, const std::string& name,
                                     Diagnostics& diagnostics,
                                     std::vector<std::unique_ptr<SourceFile>>& files) {
  const SourceFile& file = keep(files, name, source);
  if (!is_readable(file, diagnostics)) return std::nullopt;
  parse(file, diagnostics);
  if (!diagnostics.empty()) return std::nullopt;
  return laid_out(file);
}

std::string standard_library() {
  std::string out;
  for (const auto& [name, text] : kStandardLibrary)
    out += fmt::format("# ---- std/{} ----\n{}\n", name, text);
  return out;
}

}  // namespace mlpc::frontend
