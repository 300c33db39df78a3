#include "compiler/driver/subcommands.h"

#include <algorithm>
#include <charconv>
#include <iostream>
#include <iterator>
#include <optional>

#include "compiler/autodiff/explain.h"
#include "compiler/codegen/jit.h"
#include "compiler/driver/extents.h"
#include "compiler/driver/format_command.h"
#include "compiler/driver/gradcheck.h"
#include "compiler/driver/memory_bound.h"
#include "compiler/driver/object_cache.h"
#include "compiler/frontend/diagnostics.h"
#include "compiler/passes/passes.h"
#include "ir/error.h"
#include "ir/target.h"
#include "runtime/commands.h"
#include "runtime/files.h"
#include "runtime/model.h"

namespace mlpc::driver {
namespace {

/// "a=b" -> {a, b}
std::pair<std::string, std::string> split_at_equals(const std::string& text, std::string_view what) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw CLI::ValidationError(std::string(what), fmt::format("`{}` is not NAME=VALUE", text));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// "B=4" -> {B, 4}
std::pair<std::string, std::int64_t> parse_extent(const std::string& text) {
  const auto [name, value] = split_at_equals(text, "--dim");
  std::int64_t extent = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), extent);
  if (problem != std::errc() || end != value.data() + value.size() || extent < 1)
    throw CLI::ValidationError("--dim", fmt::format("`{}` is no positive extent", value));
  return {name, extent};
}

/// The row of ir/target.h that --target and --cpu name together; empty: this machine's.
std::string target_row(const std::string& target, const std::string& cpu) {
  if (target.empty()) return cpu;
  for (const ir::Target& row : ir::all_targets()) {
    const bool is_named = row.name == target || row.triple == target ||
                          (target == "aarch64-linux-gnu" && row.name == "aarch64") ||
                          (target == "x86_64-linux-gnu" && row.name == (cpu.empty() ? "x86-64" : cpu));
    if (is_named) return std::string(row.name);
  }
  fail("`{}` is no target: x86_64-linux-gnu, aarch64-linux-gnu, wasm32", target);
}

/// A network compiled here, whose code the model keeps alive, or a library that was.
runtime::Model load(const NetOptions& net) {
  if (net.input.ends_with(".so")) return runtime::Model::load(net.input);
  const CompileOptions options = compile_options(net);
  const ir::KernelProgram program = compile(read_source(net.input), options);
  auto jit = std::make_shared<codegen::JitModel>(program.header, objects_of(program, options, {}));
  return runtime::Model(jit->table(), jit);
}

/// `run` asks for what it calls; a library or a dump has what it has.
void ask_for_entry(NetOptions& net, const std::string& entry) {
  if (passes::is_on_request(entry) && net.input.ends_with(".net")) net.entries.push_back(entry);
}

}  // namespace

void print_errors(const NetOptions& options, const std::exception* caught) {
  const auto* of_source = dynamic_cast<const SourceError*>(caught);
  const std::string text = caught ? caught->what() : "";
  if (options.diagnostics == "json") {
    fmt::print(
        stderr, "{}",
        of_source ? of_source->json()
        : caught  ? fmt::format("[\n{{\"severity\":\"error\",\"text\":{}}}\n]\n", frontend::json_string(text))
                  : "[]\n");
  } else if (of_source) {
    fmt::print(stderr, "{}", text);
  } else if (caught) {
    // Readers say "file:line:col: error: …" themselves.
    fmt::print(stderr, "{}{}\n", text.find(": error: ") == std::string::npos ? "mlpc: error: " : "", text);
  }
}

void add_net_options(CLI::App& app, NetOptions& options, bool input_is_required) {
  CLI::Option* input =
      app.add_option("NET", options.input, "a network, a dump of one, or - for standard input");
  if (input_is_required) input->required();
  app.add_option("-D", options.defines,
                 "NAME=VALUE: overrides a const, by a number, true, false, or a name (-D act=tanh)")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  app.add_option("--entries", options.entries, "what is there on request: jvp,hvp,jacobian")
      ->delimiter(',')
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_flag("--unroll", options.unrolls, "writes the turns of for and repeat out, equal ones, too");
  app.add_option(
         "-O", options.level,
         "0 one kernel an op; 1 fused; 2 tiled (default); 3 specialized for the batches of `train`, too")
      ->check(CLI::Range(0, 3));
  app.add_option("--schedule", options.schedule, "a file that replaces schedules of kernels");
  app.add_option("--specialize", options.specializations,
                 "DIM=EXTENT[,…]: a copy of all kernels for these extents, which runs where they are given")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  app.add_flag("--no-cache", options.no_cache, "object code is neither taken from the cache nor kept there");
  app.add_option("--target", options.target, "x86_64-linux-gnu, aarch64-linux-gnu, wasm32");
  app.add_option(
      "--memory", options.memory,
      "BYTES[,DIM=EXTENT…]: the workspace of a gradient; parts are computed again to keep within it");
  app.add_option("--cpu", options.cpu, "native (default), x86-64-v4, x86-64-v3, x86-64");
  app.add_option("--diagnostics", options.diagnostics, "how errors are printed: text (default), json")
      ->check(CLI::IsMember({"text", "json"}));
}

std::vector<std::string> take_train_options(int argc, char** argv, NetOptions& options) {
  constexpr std::string_view kPrefix = "--train.";
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with(kPrefix)) {
      words.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const bool has_value = equals != std::string::npos;
    const std::string key =
        word.substr(kPrefix.size(), has_value ? equals - kPrefix.size() : std::string::npos);
    options.train.emplace_back(key, has_value ? word.substr(equals + 1) : i + 1 < argc ? argv[++i] : "");
  }
  return words;
}

Source read_source(const std::string& path) {
  if (path == "-") return {std::string(std::istreambuf_iterator<char>(std::cin), {}), "<stdin>"};
  return {std::string(runtime::text_in(runtime::read_file(path))), path};
}

CompileOptions compile_options(const NetOptions& net) {
  CompileOptions out;
  for (const std::string& define : net.defines) out.defines.push_back(split_at_equals(define, "-D"));
  out.train = net.train;
  out.unrolls = net.unrolls;
  out.level = net.level;
  out.entries = net.entries;
  if (!net.memory.empty()) out.memory = parse_memory_bound(net.memory);
  out.use_cache = !net.no_cache;
  for (const std::string& extents : net.specializations)
    out.specializations.push_back(parse_extents(extents, "--specialize"));
  if (!net.schedule.empty()) out.schedule = read_source(net.schedule);
  out.target = target_row(net.target, net.cpu);
  return out;
}

struct Subcommands::State {
  NetOptions& net;
  runtime::InitOptions init;
  runtime::TrainOptions train;
  runtime::EvalOptions eval;
  runtime::RunOptions run;
  int workers = 0;
  std::uint64_t seed = 0;
  std::string resume;
  FormatOptions format;
  CLI::App *init_app, *train_app, *eval_app, *run_app, *info_app, *check_app, *fmt_app, *explain_app,
      *gradcheck_app;
  std::string parameter;
  std::vector<std::string> extents;
  GradcheckOptions gradcheck;
  std::vector<CLI::Option*> seed_options;

  CLI::App* add(CLI::App& app, const std::string& name, const std::string& description) {
    CLI::App* sub = app.add_subcommand(name, description);
    add_net_options(*sub, net, true);
    return sub;
  }
  void add_weights(CLI::App& app, runtime::WeightFile& weights, bool required) {
    CLI::Option* option = app.add_option("--weights", weights.path, "parameters and state: FILE.safetensors");
    if (required) option->required();
    app.add_flag("--partial", weights.is_partial, "keys that are missing keep their initial values");
    app.add_option("--rename", weights.renames, "OLD=NEW: a key of the file under another name")
        ->take_all()
        ->expected(1)
        ->allow_extra_args(false);
  }
  void add_workers(CLI::App& app) {
    app.add_option("--workers", workers, "threads; by default one a processor")->check(CLI::Range(1, 1024));
  }
};

Subcommands::Subcommands(CLI::App& app, NetOptions& net) : state_(new State{.net = net}) {
  State& s = *state_;
  s.init_app = s.add(app, "init", "writes initial parameters");
  s.init_app->add_option("-o", s.init.output, "FILE.safetensors")->required();
  s.seed_options.push_back(s.init_app->add_option("--seed", s.seed, "instead of the seed of `train`"));
  s.train_app = s.add(app, "train", "trains on data: x=FILE y=FILE");
  s.train_app->add_option("DATA", s.train.inputs, "INPUT=FILE (.npy, IDX, IDX.gz)");
  s.train_app->add_option("--val", s.train.validation, "INPUT=FILE of the validation data")->expected(1, 16);
  s.train_app->add_option("-o", s.train.output, "FILE.safetensors")->required();
  s.train_app->add_option("--resume", s.resume, "goes on from this checkpoint");
  s.seed_options.push_back(s.train_app->add_option("--seed", s.seed, "instead of the seed of `train`"));
  s.train_app->add_flag("--quiet", s.train.is_quiet, "no progress");
  CLI::Option* log = s.train_app->add_option("--log", s.train.log,
                                             "FILE: one line of JSON an epoch, its losses and metrics");
  s.train_app->add_option("--log-every", s.train.log_every, "epochs between two lines (1); the last has one")
      ->needs(log)
      ->check(CLI::PositiveNumber);
  s.train_app
      ->add_flag("--stats", s.train.has_norms,
                 "adds norms of parameters and of gradients over all data to the log: one more pass a line")
      ->needs(log);
  s.add_weights(*s.train_app, s.train.weights, false);
  s.add_workers(*s.train_app);
  s.eval_app = s.add(app, "eval", "losses and metrics on data");
  s.eval_app->add_option("DATA", s.eval.inputs, "INPUT=FILE");
  s.add_weights(*s.eval_app, s.eval.weights, true);
  s.add_workers(*s.eval_app);
  s.run_app = s.add(app, "run", "calls an entry and writes its results as .npy");
  s.run_app->add_option("DATA", s.run.inputs, "INPUT=FILE, or INPUT=NUMBER for a scalar");
  s.run_app->add_option("--entry", s.run.entry,
                        "infer (default), loss, grad, …; jvp, hvp, jacobian of a source are made for it");
  s.run_app->add_option("--tangents", s.run.tangents,
                        "FILE.safetensors: the direction of jvp and hvp, a tensor for each parameter");
  s.run_app->add_option("-o", s.run.output, "a directory")->required();
  s.run_app->add_option("--seed", s.run.seed, "of the random numbers");
  s.add_weights(*s.run_app, s.run.weights, false);
  s.add_workers(*s.run_app);
  s.info_app = s.add(app, "info", "what a model consists of");
  s.check_app = s.add(app, "check", "reports what is wrong with a source, and nothing else");
  s.explain_app = s.add(app, "explain", "a parameter's gradient as a product of Jacobians");
  s.explain_app->add_option("PARAMETER", s.parameter, "its path: fc1.W")->required();
  s.gradcheck_app = s.add(app, "gradcheck", "each parameter's gradient against finite differences, in f64");
  s.gradcheck_app->add_option("--dim", s.extents, "NAME=EXTENT of a free dim; 3 by default")
      ->take_all()
      ->expected(1);
  s.gradcheck_app->add_option("--seed", s.gradcheck.seed, "of parameters, inputs, noise and directions");
  s.fmt_app = app.add_subcommand("fmt", "gives sources their one layout, in place");
  s.fmt_app->add_option("FILES", s.format.paths, "sources; - is standard input, printed")->required();
  s.fmt_app->add_flag("--check", s.format.only_checks,
                      "lists those that would change, and fails if there are any");
  s.fmt_app->add_flag("--stdout", s.format.prints, "prints instead of writing");
}

Subcommands::~Subcommands() = default;

bool Subcommands::run(int& status) {
  State& s = *state_;
  s.train.threads = s.eval.threads = s.run.threads = s.workers;
  const bool has_seed =
      std::ranges::any_of(s.seed_options, [](const CLI::Option* o) { return o->count() > 0; });
  if (has_seed) s.train.seed = s.init.seed = s.seed;
  if (!s.resume.empty()) s.train.resume = s.resume;
  if (s.check_app->parsed()) {
    compile(read_source(s.net.input), compile_options(s.net));
  } else if (s.fmt_app->parsed()) {
    if (!format_files(s.format, s.net)) status = 1;
  } else if (s.init_app->parsed()) {
    runtime::run_init(load(s.net), s.init);
  } else if (s.train_app->parsed()) {
    constexpr int kInterrupted = 130;  // as a shell says of Ctrl-C
    if (runtime::run_train(load(s.net), s.train) == runtime::TrainOutcome::interrupted) status = kInterrupted;
  } else if (s.eval_app->parsed()) {
    runtime::run_eval(load(s.net), s.eval);
  } else if (s.run_app->parsed()) {
    ask_for_entry(s.net, s.run.entry);
    runtime::run_entry(load(s.net), s.run);
  } else if (s.info_app->parsed()) {
    fmt::print("{}", runtime::model_info(load(s.net)));
  } else if (s.explain_app->parsed()) {
    const ir::Program linear = graphs(read_source(s.net.input), compile_options(s.net), StopAt::linear);
    fmt::print("{}", autodiff::explain(linear, s.parameter));
  } else if (s.gradcheck_app->parsed()) {
    for (const std::string& extent : s.extents) s.gradcheck.dims.push_back(parse_extent(extent));
    const GradcheckReport report =
        gradcheck(graphs(read_source(s.net.input), compile_options(s.net), StopAt::graph), s.gradcheck);
    fmt::print("{}", report.text);
    if (!report.passed) status = 1;
  } else {
    return false;
  }
  return true;
}

}  // namespace mlpc::driver
