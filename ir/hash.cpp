#include "ir/hash.h"

#include <functional>
#include <string>
#include <variant>

namespace mlpc::ir {
namespace {

std::size_t hash_of(const Attribute& attribute) {
  struct Visitor {
    std::size_t operator()(std::int64_t v) const { return std::hash<std::int64_t>{}(v); }
    std::size_t operator()(const Integers& v) const {
      std::size_t seed = v.size();
      for (std::int64_t i : v) seed = mix(seed, std::hash<std::int64_t>{}(i));
      return seed;
    }
    std::size_t operator()(const Shape& v) const {
      std::size_t seed = v.size();
      for (const Dim& d : v) seed = mix(seed, d.hash());
      return seed;
    }
    std::size_t operator()(ElementType v) const { return static_cast<std::size_t>(v); }
    std::size_t operator()(const Constant& v) const { return mix(v.bits, static_cast<std::size_t>(v.type)); }
    std::size_t operator()(const std::string& v) const { return std::hash<std::string>{}(v); }
    std::size_t operator()(const Body& v) const { return v.hash(); }
  };
  return mix(attribute.index(), std::visit(Visitor{}, attribute));
}

}  // namespace

std::size_t mix(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2));
}

std::size_t hash_of(Op op, std::span<const ValueId> operands, const Attributes& attributes) {
  std::size_t seed = static_cast<std::size_t>(op);
  for (ValueId v : operands) seed = mix(seed, v.index);
  for (const Attribute& a : attributes) seed = mix(seed, hash_of(a));
  return seed;
}

}  // namespace mlpc::ir
