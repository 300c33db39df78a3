#include "ir/error.h"

#include <cstdio>
#include <cstdlib>

namespace mlpc::detail {

void check_failed(const char* file, int line, const std::string& text) {
  fmt::print(stderr, "mlpc: internal error at {}:{}: {}\n", file, line, text);
  std::abort();
}

}  // namespace mlpc::detail
