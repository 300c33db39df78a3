#include <cstddef>
#include <cstdint>

#include "tests/fuzz/entries.h"

// libFuzzer's main calls this; MLPC_FUZZ_ENTRY is one of entries.h.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mlpc::fuzz::MLPC_FUZZ_ENTRY({reinterpret_cast<const char*>(data), size});
  return 0;
}
