#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "compiler/driver/compile.h"

namespace mlpc::driver {

/// What says which network is meant and how it is compiled; shared by all commands.
struct NetOptions {
  std::string input;  // "-": standard input
  std::vector<std::string> defines;
  std::vector<std::string> entries;                        // on request
  std::vector<std::pair<std::string, std::string>> train;  // --train.KEY=VALUE
  bool unrolls = false;
  int level = 2;
  bool no_cache = false;
  std::string schedule;  // a file
  std::vector<std::string> specializations;
  std::string target, cpu, memory;
  std::string diagnostics = "text";  // or json: how errors are printed
};

void add_net_options(CLI::App& app, NetOptions& options, bool input_is_required);
/// The words of the command line without `--train.KEY=VALUE`, which go into the options.
std::vector<std::string> take_train_options(int argc, char** argv, NetOptions& options);
Source read_source(const std::string& path);
CompileOptions compile_options(const NetOptions& options);

/// What was caught, on standard error, as text or as JSON; with nothing caught, JSON is an empty array.
void print_errors(const NetOptions& options, const std::exception* caught);

/// init, train, eval, run, info, check, fmt, explain, gradcheck.
class Subcommands {
 public:
  Subcommands(CLI::App& app, NetOptions& net);
  ~Subcommands();
  /// Runs the one that was given; false if none was. `status` becomes that of the process where it is not 0.
  bool run(int& status);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mlpc::driver
