#include "tests/support/random_scan.h"

#include <fmt/format.h>

#include <numeric>

#include "ir/error.h"
#include "ir/ops/scan.h"

namespace mlpc::testing {
namespace {

using namespace ir;

constexpr int kDeepest = 2;

class BodyMaker {
 public:
  BodyMaker(Random& random, int depth) : random_(random), depth_(depth), b_(graph_) { graph_.name = "body"; }

  Body run(const std::vector<Type>& consts, const std::vector<Type>& loops,
           const std::vector<Type>& elements) {
    turn_ = graph_.add_parameter("t", {ElementType::i64, {}}, Role::turn);
    add("c", consts, Role::constant);
    add("h", loops, Role::loop);
    add("x", elements, Role::sequence);
    const std::vector<ValueId> parameters = values_;
    if (depth_ < kDeepest && random_.chance(0.25)) add_inner_scan();
    for (std::size_t i = 0; i < loops.size(); ++i)
      add_result("h", Role::loop, i, mixed(parameters[consts.size() + i]));
    const std::size_t stacked = random_.below(3) + (loops.empty() ? 1 : 0);
    for (std::size_t i = 0; i < stacked && !values_.empty(); ++i)
      add_result("y", Role::stacked, i, mixed(values_[random_.below(values_.size())]));
    return Body(std::move(graph_));
  }

 private:
  void add(std::string_view name, const std::vector<Type>& types, Role role) {
    for (std::uint32_t i = 0; i < types.size(); ++i)
      values_.push_back(graph_.add_parameter(fmt::format("{}{}", name, i), types[i], role, i));
  }

  void add_result(std::string_view name, Role role, std::size_t i, ValueId v) {
    graph_.results.push_back({fmt::format("{}{}", name, i), role, static_cast<std::uint32_t>(i), v});
  }

  void add_inner_scan() {
    std::vector<Type> types;
    for (ValueId v : values_) types.push_back(b_.type(v));
    try {
      const Attributes attributes = random_scan_attributes(types, random_, depth_ + 1);
      for (ValueId v : ops::scan(b_, ops::ScanSpec::of(attributes), values_)) values_.push_back(v);
    } catch (const Error&) {  // no such scan over these values
    }
  }

  /// A sum over all elements of v.
  ValueId total(ValueId v) {
    Integers all(b_.type(v).rank());
    std::iota(all.begin(), all.end(), 0);
    return b_.reduce_sum(v, all);
  }

  ValueId everywhere(ValueId scalar, const Type& type) {
    return type.rank() == 0 ? scalar : b_.broadcast(scalar, type.shape, {});
  }

  /// A value of v's type that moves with all float values; of integers, with the turns; else v itself.
  ValueId mixed(ValueId v) {
    const Type type = b_.type(v);
    if (type.element == ElementType::i32 || type.element == ElementType::i64)
      return b_.add(v, everywhere(b_.convert(turn_, type.element), type));
    if (!is_float(type.element)) return v;
    ValueId sum = b_.mul(b_.convert(turn_, type.element), b_.scalar(type.element, 0.125));
    for (ValueId other : values_)
      if (is_float(b_.type(other).element)) {
        const ValueId wave = b_.value(random_.chance(0.5) ? Op::sin_ : Op::cos_, {other});
        const ValueId term =
            b_.convert(total(b_.mul(wave, b_.full_like(wave, random_.between(0.1, 0.3)))), type.element);
        sum = b_.add(sum, term);
      }
    const ValueId scaled = b_.mul(v, b_.full(type, random_.between(0.5, 1)));
    return b_.value(Op::tanh_, {b_.add(scaled, everywhere(sum, type))});
  }

 public:
  static Attributes random_scan_attributes(const std::vector<Type>& operands, Random& random, int depth) {
    const std::size_t consts = random.below(operands.size() + 1);
    const std::size_t loops = random.below(operands.size() - consts + 1);
    const auto at = [&](std::size_t i) { return operands.begin() + static_cast<std::ptrdiff_t>(i); };
    std::vector<Type> elements(at(consts + loops), operands.end());
    Dim length = static_cast<std::int64_t>(random.below(4));
    for (std::size_t i = 0; i < elements.size(); ++i) {
      if (elements[i].rank() == 0) fail("no sequence");
      if (i == 0) length = elements[i].shape[0];
      if (elements[i].shape[0] != length) fail("sequences of different lengths");
      elements[i] = ops::element_of(elements[i]);
    }
    const Body body =
        BodyMaker(random, depth).run({at(0), at(consts)}, {at(consts), at(consts + loops)}, elements);
    return ops::ScanSpec{body, length, random.chance(0.5)}.attributes();
  }

 private:
  Random& random_;
  const int depth_;
  Graph graph_;
  Builder b_;
  ValueId turn_;
  std::vector<ValueId> values_;
};

}  // namespace

Attributes random_scan_attributes(const std::vector<Type>& operands, Random& random) {
  return BodyMaker::random_scan_attributes(operands, random, 1);
}

RandomNode random_scan(ElementType floats, Random& random) {
  constexpr std::int64_t kLengths[] = {0, 1, 2, 3, 3, 7};
  const Dim length = kLengths[random.below(std::size(kLengths))];
  const Shape shapes[] = {{}, {3}, {length}, {length, 2}, {length, 3}, {2, 3}};
  while (true) {
    RandomNode node{Op::scan_, {}, {}, {}};
    for (std::size_t k = 1 + random.below(4); k > 0; --k)
      node.operands.push_back(
          {random.chance(0.9) ? floats : ElementType::i32, shapes[random.below(std::size(shapes))]});
    try {
      node.attributes = random_scan_attributes(node.operands, random);
      return node;
    } catch (const Error&) {  // another draw
    }
  }
}

}  // namespace mlpc::testing
