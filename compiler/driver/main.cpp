#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>

#include "compiler/driver/products.h"
#include "compiler/driver/subcommands.h"
#include "compiler/frontend/frontend.h"
#include "compiler/lowering/memory_report.h"
#include "ir/error.h"
#include "runtime/files.h"

// The tool. Exit status: 0, 1 after an error in what was given, 2 after a wrong command line.

namespace mlpc::driver {
namespace {

constexpr int kUsage = 2;

struct Invocation {
  NetOptions net;
  std::string output, emit, dump_directory;
  std::vector<std::string> print_after;
  bool time_report = false, memory_report = false, print_std = false;
};

Observer make_observer(const Invocation& call) {
  Observer observer;
  if (!call.dump_directory.empty()) runtime::make_directory(call.dump_directory);
  if (!call.dump_directory.empty() || !call.print_after.empty())
    observer.after_pass = [&call, number = 0](std::string_view pass, const std::string& text) mutable {
      if (!call.dump_directory.empty())
        runtime::write_file(fmt::format("{}/{:02}-{}.txt", call.dump_directory, ++number, pass),
                            runtime::bytes_of(text));
      for (const std::string& name : call.print_after)
        if (name == pass) fmt::print("{}", text);
    };
  if (call.time_report)
    observer.time = [](std::string_view phase, double seconds) {
      fmt::print(stderr, "{:<10} {:8.1f} ms\n", phase, seconds * 1e3);
    };
  return observer;
}

void compile_command(const Invocation& call) {
  std::optional<Product> product;
  if (!call.emit.empty() && !(product = product_named(call.emit)))
    throw CLI::ValidationError("--emit", fmt::format("`{}` is none of {}", call.emit, product_names()));
  if (!product && !call.output.empty() && !(product = product_of_path(call.output)))
    throw CLI::ValidationError(
        "-o",
        fmt::format("the suffix of `{}` names no product: .so .a .o .s .ll .h, or say --emit=", call.output));
  if (!product && call.print_after.empty() && call.dump_directory.empty() && !call.memory_report)
    throw CLI::ValidationError("-o", "nothing was asked for: -o FILE or --emit=STAGE");
  const Source source = read_source(call.net.input);
  const CompileOptions options = compile_options(call.net);
  const Observer observer = make_observer(call);
  if (call.memory_report)
    fmt::print(stderr, "{}",
               lowering::memory_report(graphs(source, options, StopAt::joint), {options.level}));
  if (product)
    make_product(source, options, *product, call.output.empty() ? "-" : call.output, observer);
  else
    compile(source, options, observer);
}

int run(int argc, char** argv) {
  CLI::App app{"mlpc: compiles a network, written as maths, to a library that infers and trains"};
  app.set_version_flag("--version", "mlpc 0.1.0");
  Invocation call;
  std::vector<std::string> words = take_train_options(argc, argv, call.net);
  add_net_options(app, call.net, false);
  app.add_option("-o", call.output,
                 "the product; its suffix says which: .so .a .o .s .ll .h; - is standard output");
  app.add_option("--emit", call.emit, "the product by name: " + product_names());
  app.add_option("--dump-dir", call.dump_directory, "a numbered file after every pass");
  app.add_option("--print-after", call.print_after, "prints the program after this pass");
  app.add_flag("--time-report", call.time_report, "what each phase took, on standard error");
  app.add_flag("--memory-report", call.memory_report,
               "what `grad` keeps and what it computes again, in bytes, on standard error");
  app.add_flag("--print-std", call.print_std, "prints the library of layers, losses and optimizers");
  Subcommands subcommands(app, call.net);
  app.require_subcommand(0, 1);
  int status = 0;
  try {
    std::reverse(words.begin(), words.end());
    app.parse(words);
    if (call.print_std) {
      fmt::print("{}", frontend::standard_library());
    } else if (!subcommands.run(status)) {
      if (call.net.input.empty()) throw CLI::RequiredError("a network to compile");
      compile_command(call);
    }
    print_errors(call.net, nullptr);
    return status;
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "mlpc: error: {}\n", e.what());
    return kUsage;
  } catch (const std::exception& e) {
    print_errors(call.net, &e);
  }
  return 1;
}

}  // namespace
}  // namespace mlpc::driver

int main(int argc, char** argv) { return mlpc::driver::run(argc, argv); }
