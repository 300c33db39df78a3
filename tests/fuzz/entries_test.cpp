#include "tests/fuzz/entries.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace mlpc {
namespace {

namespace fs = std::filesystem;

/// Calls the entry with each file of the corpus, and with a byte of it changed here and there.
void replay(const std::string& folder, void (*entry)(std::string_view)) {
  constexpr std::size_t kChanges = 16;
  std::size_t files = 0;
  for (const auto& item : fs::recursive_directory_iterator(fs::path(MLPC_SOURCE_DIR) / folder)) {
    if (!item.is_regular_file() || item.path().extension() == ".expected") continue;
    CAPTURE(item.path().string());
    std::ifstream file(item.path(), std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    std::string text = bytes.str();
    entry(text);
    for (std::size_t i = 0; i < kChanges && !text.empty(); ++i) {
      const std::size_t at = (i * 7919 + text.size() / 2) % text.size();
      const char before = text[at];
      text[at] = static_cast<char>(before ^ (1 << (i % 7)));
      entry(text);
      text[at] = before;
    }
    ++files;
  }
  CHECK(files > 0);
}

}  // namespace

TEST_CASE("sources that once made trouble are refused or are programs") {
  replay("tests/fuzz/corpus/net", fuzz::net);
}
TEST_CASE("graphs that once made trouble are refused or are programs") {
  replay("tests/fuzz/corpus/graph", fuzz::graph);
}
TEST_CASE("kernels that once made trouble are refused or are programs") {
  replay("tests/fuzz/corpus/kernels", fuzz::kernels);
}

}  // namespace mlpc
