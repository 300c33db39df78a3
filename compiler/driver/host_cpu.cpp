#include "compiler/driver/host_cpu.h"

namespace mlpc::driver {

std::string_view host_target() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#else
#error "mlpc runs on x86-64 and aarch64"
#endif
}

}  // namespace mlpc::driver
