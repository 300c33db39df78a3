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
    const std::string guard = fmt::format("MLPC_MODEL_{}_H", upper(name_));
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
    for (const ir::LoweredEntry& e : p_.entries)
      out_ += fmt::format("int {}_{}(const mlpc_plan *plan, mlpc_args *args);\n", name_, e.name);
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
    for (const ir::TensorInfo& t : list)
      out_ += fmt::format(" *   {:>10}  {} : {}\n", t.offset, t.path, t.type.text());
    out_ += " */\n\n";
  }

  void argument(std::string_view type, const std::string& argument_name) {
    out_ += fmt::format(", {}{}", type, argument_name);
  }

  /// NAME_infer_with(plan, params, state, inputs…, results…, workspace), for callers that need nothing else.
  void wrapper(const ir::LoweredEntry& e) {
    if (e.name != "infer" && e.name != "loss") return;
    out_ += "/*";
    for (std::uint32_t i : e.inputs)
      out_ += fmt::format(" {} : {};", p_.header.inputs[i].name, p_.header.inputs[i].type.text());
    out_ += " ->";
    for (const auto& r : e.results) out_ += fmt::format(" {} : {};", r.name, r.type.text());
    out_ += fmt::format(
        " */\nstatic inline int {}_{}_with(const mlpc_plan *plan, const void *params, const void *state",
        name_, e.name);
    for (std::uint32_t i : e.inputs)
      argument(fmt::format("const {} *", c_type(p_.header.inputs[i].type.element)),
               input_name(p_.header.inputs[i].name));
    for (const auto& r : e.results)
      argument(fmt::format("{} *", c_type(r.type.element)), result_name(r.name));
    out_ += ", void *workspace) {\n  const void *inputs[] = {";
    for (std::uint32_t i : e.inputs) out_ += input_name(p_.header.inputs[i].name) + ", ";
    out_ += "0};\n  void *results[] = {";
    for (const auto& r : e.results) out_ += result_name(r.name) + ", ";
    out_ += fmt::format(
        "0}};\n  mlpc_args args = {{0}};\n  args.size = sizeof args;\n  args.inputs = inputs;\n  "
        "args.results = results;\n"
        "  args.params = (void *)params; /* only read */\n  args.state = (void *)state;\n  args.workspace = "
        "workspace;\n"
        "  return {}_{}(plan, &args);\n}}\n\n",
        name_, e.name);
  }

  const ir::KernelProgram& p_;
  const std::string name_;
  std::string out_;
};

}  // namespace

std::string emit_header(const ir::KernelProgram& program) { return HeaderWriter(program).run(); }

}  // namespace mlpc::codegen
