#include <doctest/doctest.h>

#include <sstream>

#include "compiler/driver/compile.h"
#include "compiler/lowering/lower.h"
#include "ir/error.h"
#include "ir/text.h"
#include "tests/support/files.h"

namespace mlpc {
namespace {

driver::Source fashion() { return {testing::file_text("examples/fashion.net"), "fashion.net"}; }

driver::CompileOptions options() {
  driver::CompileOptions out;
  out.target = "x86-64-v4";
  return out;
}

/// Drops the comments, which no reader keeps.
std::string without_comments(const std::string& text) {
  std::string out;
  std::stringstream lines(text);
  for (std::string line; std::getline(lines, line);) out += line.substr(0, line.find("  // ")) + "\n";
  return out;
}

/// Reads a damaged text: an error that names the file, or a program that lowering can take.
void survives(const std::string& text) {
  try {
    if (ir::kind_of_text(text) == ir::TextKind::kernels)
      ir::parse_kernels(text, "damaged");
    else
      driver::compile({text, "damaged"}, {});
  } catch (const Error& e) {
    CHECK(std::string_view(e.what()).size() > 0);
  } catch (const driver::SourceError&) {  // the first line was hit: it was read as a network
  }
}

}  // namespace

TEST_CASE("the text of every stage is read back as it was written") {
  for (driver::StopAt stage :
       {driver::StopAt::graph, driver::StopAt::linear, driver::StopAt::jacobian, driver::StopAt::joint}) {
    const std::string text = driver::stage_text(fashion(), options(), stage);
    CHECK(ir::print(ir::parse_program(text, "dump")) == without_comments(text));
  }
  const std::string kernels = driver::stage_text(fashion(), options(), driver::StopAt::kernels);
  CHECK(ir::print(ir::parse_kernels(kernels, "dump")) == kernels);
}

TEST_CASE("a dump that is cut or changed anywhere gives an error, never a crash") {
  for (driver::StopAt stage : {driver::StopAt::linear, driver::StopAt::joint, driver::StopAt::kernels}) {
    const std::string text = driver::stage_text(fashion(), options(), stage);
    for (std::size_t at = 0; at < text.size(); at += text.size() / 60 + 1) {
      survives(text.substr(0, at));
      std::string changed = text;
      changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 7)));
      survives(changed);
      changed[at] = '9';  // numbers that are too large, indexes that lead nowhere
      survives(changed);
    }
  }
}

TEST_CASE("-D and --train settings belong to the source, and a dump says so") {
  driver::CompileOptions defined = options();
  defined.defines.emplace_back("H1", "8");
  const std::string text = driver::stage_text(fashion(), options(), driver::StopAt::graph);
  CHECK_THROWS_WITH_AS(driver::compile({text, "fashion.graph"}, defined),
                       doctest::Contains("fashion.graph is a dump"), Error);
}

TEST_CASE("-D changes extents, and equal sources give equal programs") {
  driver::CompileOptions narrow = options();
  narrow.defines.emplace_back("H1", "8");
  const std::string a = driver::stage_text(fashion(), narrow, driver::StopAt::graph);
  CHECK(a.find("param \"fc1.W\" : f32[784, 8]") != std::string::npos);
  CHECK(a == driver::stage_text(fashion(), narrow, driver::StopAt::graph));
}

}  // namespace mlpc
