#include <doctest/doctest.h>

#include <sstream>

#include "compiler/codegen/object.h"
#include "ir/text.h"
#include "tests/compiler/driver/sources.h"

namespace mlpc {
namespace {

/// Blanks at the starts of lines gone, each line followed by an empty one.
std::string misshapen(const std::string& text) {
  std::string out;
  std::stringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    out += line.substr(std::min(line.find_first_not_of(' '), line.size())) + "\n\n";
  return out;
}

/// All that codegen sees, but the hash of the text and the places in it.
ir::KernelProgram kernels_of(const driver::Source& source) {
  driver::CompileOptions options;
  options.target = "x86-64-v3";
  ir::KernelProgram program = driver::compile(source, options);
  program.header.source_hash.clear();
  for (ir::SourceLocation& at : program.header.locations) at.line = at.column = 0;
  return program;
}

}  // namespace

TEST_CASE("a formatted program compiles to the same bytes") {
  for (const char* path : {"examples/lecture.net", "examples/fashion.net", "examples/mnist.net"}) {
    CAPTURE(path);
    const driver::Source source = source_of(path);
    const std::string bad = misshapen(source.text);
    const driver::Source good{driver::formatted({bad, path}), path};
    CHECK(good.text != bad);
    const ir::KernelProgram before = kernels_of({bad, path}), after = kernels_of(good);
    CHECK(ir::print(before) == ir::print(after));
    CHECK(codegen::emit_objects(before).front() == codegen::emit_objects(after).front());
  }
}

}  // namespace mlpc
