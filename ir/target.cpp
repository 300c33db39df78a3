#include "ir/target.h"

#include <array>

namespace mlpc::ir {
namespace {

constexpr std::array<Target, 5> kTargets = {{
    {"x86-64-v4", "x86_64-unknown-linux-gnu", "x86-64-v4", 16, 32, true, true, 64, 1024},
    {"x86-64-v3", "x86_64-unknown-linux-gnu", "x86-64-v3", 8, 16, true, false, 64, 256},
    {"x86-64", "x86_64-unknown-linux-gnu", "x86-64", 4, 16, false, false, 64, 256},
    {"aarch64", "aarch64-unknown-linux-gnu", "generic", 4, 32, true, false, 64, 256},
    {"wasm32", "wasm32-unknown-unknown", "generic", 4, 16, false, false, 32, 256},
}};

}  // namespace

std::span<const Target> all_targets() { return kTargets; }

const Target* target_named(std::string_view name) {
  for (const Target& target : kTargets)
    if (target.name == name) return &target;
  return nullptr;
}

}  // namespace mlpc::ir
