#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/frontend/frontend.h"
#include "ir/error.h"
#include "ir/evaluate.h"
#include "tests/support/files.h"

namespace mlpc::testing {

/// One of the six programs of the language's reference.
inline std::string program_file(const std::string& name) { return "examples/" + name + ".net"; }

/// What comes of a source: a program, or the text of its errors.
struct Outcome {
  std::optional<ir::Program> program;
  std::string errors;
};

inline Outcome elaborated(const std::string& source, const frontend::FrontendOptions& options = {},
                          const std::string& name = "t.net") {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  Outcome out;
  out.program = frontend::parse_net(source, name, options, diagnostics, files);
  out.errors = diagnostics.text();
  return out;
}

inline ir::Program program_of(const std::string& source, const frontend::FrontendOptions& options = {}) {
  Outcome out = elaborated(source, options);
  if (!out.program) fail("{}", out.errors);
  return *out.program;
}

inline bool fails_with(const std::string& source, std::string_view id,
                       const frontend::FrontendOptions& options = {}) {
  return elaborated(source, options).errors.find("[" + std::string(id) + "]") != std::string::npos;
}

inline std::vector<std::string> paths(const std::vector<ir::TensorInfo>& table) {
  std::vector<std::string> out;
  for (const ir::TensorInfo& t : table) out.push_back(t.path);
  return out;
}
using Names = std::vector<std::string>;
using Numbers = std::vector<double>;

inline Names param_paths(const std::string& source) { return paths(program_of(source).params); }

inline Outcome elaborated_program(const std::string& name) {
  const std::string file = program_file(name);
  return elaborated(file_text(file), {}, MLPC_SOURCE_DIR "/" + file);
}

/// A model of the lines given, in f64.
inline std::string model(const std::string& lines) { return "model m : f64 {\n" + lines + "\n}\n"; }

inline std::string tree_of(const std::string& source) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  return frontend::ast_text(source, "t.net", diagnostics, files).value_or(diagnostics.text());
}

using Values = std::map<std::string, std::vector<double>>;

/// The results of a graph by name. Parameters are given by name; one that is missing is all zeros.
inline Values run(const ir::Program& program, std::string_view graph_name, const Values& given,
                  std::int64_t batch = 1) {
  const ir::Graph* graph = program.find(graph_name);
  if (!graph) fail("there is no graph {}", graph_name);
  const auto dim = [&](std::string_view) { return batch; };
  std::vector<ir::HostTensor> parameters;
  for (const ir::Graph::Parameter& p : graph->parameters()) {
    ir::HostTensor t;
    std::size_t count = 1;
    for (const ir::Dim& d : graph->type(p.value).shape) {
      t.shape.push_back(d.evaluate(dim).value());
      count *= static_cast<std::size_t>(t.shape.back());
    }
    const auto values = given.find(p.name);
    t.values = values == given.end() ? std::vector<double>(count, 0) : values->second;
    parameters.push_back(std::move(t));
  }
  const std::vector<ir::HostTensor> results = ir::evaluate(*graph, parameters, dim);
  Values out;
  for (std::size_t i = 0; i < results.size(); ++i) out[graph->results[i].name] = results[i].values;
  return out;
}

/// The value of an expression without inputs.
inline double value_of(const std::string& expression) {
  return run(program_of(model("output r = f64(0) + (" + expression + ")")), "infer", {}).at("r").at(0);
}

}  // namespace mlpc::testing
