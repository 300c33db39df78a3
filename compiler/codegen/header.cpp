#include "compiler/codegen/header.h"

#include <cctype>

#include "compiler/codegen/model_codegen.h"
#include "ir/error.h"

namespace mlpc::codegen {

extern const char* const kAbiText;  // runtime/abi.h, made by CMake

namespace {

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string_view c_type(ir::ElementType type) {
  switch (type) {
    case ir::ElementType::f32:
      return "float";
    case ir::ElementType::f64:
      return "double";
    case ir::ElementType::i32:
      return "int32_t";
    case ir::ElementType::i64:
      return "int64_t";
    case ir::ElementType::u8:
    case ir::ElementType::boolean:
      return "uint8_t";
  }
  return "void";
}

/// An input and a result may share a name, and a name may be a keyword of C.
std::string input_name(const std::string& name) { return name + "_"; }
std::string result_name(const std::string& name) { return name + "_out"; }

class HeaderWriter {
 public:
  explicit HeaderWriter(const ir::KernelProgram& program) : p_(program), name_(program.header.model) {}

  std::string run() {
    const std::string guard = fmt::format("MLPC_MODEL_{}_H", name_);
    out_ = fmt::format("/* {} for {}, compiled by mlpc. */\n#ifndef {}\n#define {}\n\n{}\n", name_,
                       p_.header.target, guard, guard, kAbiText);
    out_ += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    sizes();
    dims();
    tensors("parameter", p_.header.params);
    tensors("state", p_.header.state);
    out_ += fmt::format(
        "const mlpc_model *{0}_model(uint32_t abi);\nint {0}_plan(mlpc_plan *plan, const int64_t *dims, int "
        "workers, int entry);\n",
        name_);
    for (const ir::LoweredEntry& e : p_.entries) {
      out_ += prototype_comment(e);
      out_ += fmt::format("int {}_{}(const mlpc_plan *plan, mlpc_args *args);\n", name_, e.name);
    }
    out_ += "\n";
    for (const ir::LoweredEntry& e : p_.entries) wrapper(e);
    out_ += fmt::format("#ifdef __cplusplus\n}}\n#endif\n#endif /* {} */\n", guard);
    return std::move(out_);
  }

 private:
  void sizes() {
    const auto define = [&](std::string_view what, std::int64_t n) {
      out_ += fmt::format("#define {}_{} {}\n", upper(name_), what, n);
    };
    define("PLAN_BYTES", plan_bytes(p_));
    define("PARAMS_BYTES", ir::buffer_bytes(p_.header.params));
    define("STATE_BYTES", ir::buffer_bytes(p_.header.state));
    define("SLOTS_BYTES", ir::buffer_bytes(p_.header.slots));
    define("DIMS", static_cast<std::int64_t>(p_.header.dims.size()));
    out_ += "\n";
  }

  void dims() {
    for (std::size_t i = 0; i < p_.header.dims.size(); ++i)
      out_ += fmt::format("#define {}_DIM_{} {}\n", upper(name_), p_.header.dims[i], i);
    out_ += "\n";
  }

  void tensors(std::string_view kind, const std::vector<ir::TensorInfo>& list) {
    if (list.empty()) return;
    out_ += fmt::format("/* {}s: row-major, at byte offsets of their buffer\n", kind);
    for (const ir::TensorInfo& t : ir::rows_of(list))
      out_ += fmt::format(" *   {:>10}  {} : {}\n", t.offset, t.path, t.type.text());
    out_ += " */\n\n";
  }

  /// What args.inputs and args.results hold, in order.
  std::string prototype_comment(const ir::LoweredEntry& e) const {
    std::string inputs, results;
    for (std::uint32_t i : e.inputs)
      inputs += fmt::format("{}{} : {}", inputs.empty() ? " inputs " : ", ", p_.header.inputs[i].name,
                            p_.header.inputs[i].type.text());
    for (const auto& r : e.results)
      results += fmt::format("{}{} : {}", results.empty() ? " results " : ", ", r.name, r.type.text());
    if (inputs.empty() && results.empty()) return {};
    return fmt::format("/*{}{}{} */\n", inputs, inputs.empty() || results.empty() ? "" : ";", results);
  }

  /// NAME_infer_with(plan, params, state, inputs…, results…, workspace), for callers that need nothing else.
  void wrapper(const ir::LoweredEntry& e) {
    if (e.name != "infer" && e.name != "loss") return;
    std::string arguments, inputs, results;
    for (std::uint32_t i : e.inputs) {
      const ir::InputInfo& input = p_.header.inputs[i];
      arguments += fmt::format(", const {} *{}", c_type(input.type.element), input_name(input.name));
      inputs += input_name(input.name) + ", ";
    }
    for (const auto& r : e.results) {
      arguments += fmt::format(", {} *{}", c_type(r.type.element), result_name(r.name));
      results += result_name(r.name) + ", ";
    }
    // Every field has its initialiser, so that no compiler warns of missing ones. params and state are only
    // read.
    out_ += fmt::format(
        "static inline int {0}_{1}_with(const mlpc_plan *plan, const void *params, const void *state{2}, "
        "void "
        "*workspace) {{\n"
        "  const void *inputs[] = {{{3}0}};\n"
        "  void *results[] = {{{4}0}};\n"
        "  mlpc_args args = {{sizeof(mlpc_args), 0, inputs, results, (void *)params, (void *)state, 0, 0, 0, "
        "workspace, 0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 0}};\n"
        "  return {0}_{1}(plan, &args);\n}}\n\n",
        name_, e.name, arguments, inputs, results);
  }

  const ir::KernelProgram& p_;
  const std::string name_;
  std::string out_;
};

}  // namespace

std::string emit_header(const ir::KernelProgram& program) { return HeaderWriter(program).run(); }

}  // namespace mlpc::codegen
