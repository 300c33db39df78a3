#include "tests/compiler/frontend/mutations.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {

// tests/mutations.sh tries them all, which takes minutes.
TEST_CASE("a program with one token wrong is a program, or has few errors that say where") {
  constexpr std::size_t kOneIn = 41;  // is tried, unless all are
  const std::size_t stride = std::getenv("MLPC_ALL_MUTATIONS") ? 1 : kOneIn;
  std::size_t tried = 0;
  for (const char* path :
       {"examples/fashion.net", "examples/lecture.net", "examples/mnist.net", "examples/pair_vae.net",
        "examples/resnet.net", "examples/tagger.net", "examples/tinygpt.net", "examples/heat.net"}) {
    const std::vector<Mutant> mutants = mutants_of(file_text(path));
    REQUIRE(mutants.size() > 100);
    for (std::size_t i = tried % stride; i < mutants.size(); i += stride, ++tried) {
      const std::string complaint = complaint_about(mutants[i], MLPC_SOURCE_DIR "/" + std::string(path));
      CHECK_MESSAGE(complaint.empty(), path << ", " << mutants[i].what << ": " << complaint);
    }
  }
  CHECK(tried > 0);
}

}  // namespace mlpc::testing
