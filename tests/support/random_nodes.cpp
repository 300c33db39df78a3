#include "tests/support/random_nodes.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "ir/error.h"
#include "tests/support/random_parts.h"
#include "tests/support/random_scan.h"

namespace mlpc::testing {
namespace {

using namespace ir;

constexpr std::int64_t kMostElements = 250;  // of an operand: few enough that values lie apart
constexpr std::size_t kTrials = 20000;
constexpr std::size_t kTrialsForExtents = 10 * kTrials;  // of ops that are seldom accepted

template <typename T>
void shuffle(std::vector<T>& items, Random& random) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

constexpr std::int64_t kExtents[] = {1, 2, 2, 3, 3, 6, 7, 7, 65, 0};  // the frequent ones twice

std::int64_t random_extent(Random& random) { return kExtents[random.below(std::size(kExtents))]; }

std::int64_t count_of(const Shape& shape) {
  return Type{ElementType::f64, shape}.element_count().constant().value();
}

Shape random_shape(Random& random) {
  Shape shape(random.below(4));
  for (Dim& extent : shape) extent = random_extent(random);
  return count_of(shape) <= kMostElements ? shape : Shape{7};
}

/// A shape that an op might make of `base`.
Shape derived_shape(Shape base, Random& random) {
  switch (random.below(5)) {
    case 0:
      return random_shape(random);
    case 1:
      return {Type{ElementType::f64, base}.element_count()};
    case 2:
      shuffle(base, random);
      return base;
    case 3:
      base.insert(base.begin() + static_cast<std::ptrdiff_t>(random.below(base.size() + 1)),
                  random_extent(random));
      return base;
    default:
      break;
  }
  const auto six = std::ranges::find(base, Dim(6));
  if (six != base.end()) {
    *six = 3;
    base.insert(six, 2);
  }
  return base;
}

ElementType random_element(ElementType floats, Random& random) {
  const ElementType kElements[] = {
      floats, floats, floats, ElementType::i32, ElementType::i64, ElementType::u8, ElementType::boolean};
  return kElements[random.below(std::size(kElements))];
}

Integers random_integers(std::size_t rank, Random& random) {
  Integers all(rank);
  std::iota(all.begin(), all.end(), 0);
  if (random.chance(0.5)) {
    shuffle(all, random);
    return all;
  }
  std::erase_if(all, [&](std::int64_t) { return random.chance(0.5); });
  return all;
}

constexpr double kMostTurns = 1 << 15;  // of an einsum's reference

/// Letters for the operands' axes, equal ones only for equal extents; the result has some of them.
std::string random_einsum(const std::vector<Type>& operands, Random& random) {
  std::string spec, letters, result;
  std::vector<Dim> extents;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    std::string own;
    for (const Dim& extent : operands[k].shape) {
      std::size_t letter = random.below(letters.size() + 1);
      const bool fits =
          letter < letters.size() && extents[letter] == extent && own.find(letters[letter]) == own.npos;
      if (!fits) {
        letter = letters.size();
        letters += static_cast<char>('a' + letter);
        extents.push_back(extent);
      }
      own += letters[letter];
    }
    spec += (k ? "," : "") + own;
  }
  double turns = 1;
  for (const Dim& extent : extents)
    turns *= static_cast<double>(extent.evaluate([](std::string_view) { return 65; }).value());
  if (turns > kMostTurns) return {};  // no spec: the type rule refuses it
  for (std::int64_t i : random_integers(letters.size(), random))
    result += letters[static_cast<std::size_t>(i)];
  return spec + "->" + result;
}

Attribute random_attribute(AttributeSpec::Kind kind, const std::vector<Type>& operands, std::size_t rank,
                           ElementType floats, Random& random) {
  const ElementType element = operands.empty() ? floats : operands[0].element;
  switch (kind) {
    case AttributeSpec::Kind::integer:
      return static_cast<std::int64_t>(random.below(4));
    case AttributeSpec::Kind::integers:
      return random_integers(rank, random);
    case AttributeSpec::Kind::shape:
      return derived_shape(operands.empty() ? random_shape(random) : operands[0].shape, random);
    case AttributeSpec::Kind::element_type:
      return random_element(floats, random);
    case AttributeSpec::Kind::constant:
      if (is_float(element)) return Constant::of(element, random.between(-0.2, 0.2));  // near no operand
      return random.chance(0.5) ? Constant::of(floats, random.real())
                                : Constant::of_integer(element, static_cast<std::int64_t>(random.below(2)));
    case AttributeSpec::Kind::string:
      return random_einsum(operands, random);
    case AttributeSpec::Kind::body:
      break;  // random_scan.cpp
  }
  return std::int64_t{0};
}

RandomNode random_trial(Op op, ElementType floats, Random& random) {
  const OpDef& record = def(op);
  if (record.arity == kArityOfBody) return random_scan(floats, random);
  RandomNode node{op, {}, {}, {}};
  const std::size_t arity = record.arity == kAnyArity ? 1 + random.below(3) : record.arity;
  const Type base{random_element(floats, random), random_shape(random)};
  for (std::size_t k = 0; k < arity; ++k) {
    const ElementType element = random.chance(0.75) ? base.element : random_element(floats, random);
    node.operands.push_back({element, random.chance(0.85) ? base.shape : random_shape(random)});
  }
  node.attributes = random_attributes(op, node.operands, floats, random);
  return node;
}

bool is_accepted(RandomNode& node) {
  try {
    node.results = def(node.op).type_rule(node.operands, node.attributes);
  } catch (const Error&) {
    return false;
  }
  return std::ranges::all_of(node.results,
                             [](const Type& t) { return count_of(t.shape) <= 8 * kMostElements; });
}

}  // namespace

std::uint64_t Random::next() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

Attributes random_attributes(Op op, const std::vector<Type>& operands, ElementType floats, Random& random) {
  if (def(op).arity == kArityOfBody) return random_scan_attributes(operands, random);
  if (std::optional<Attributes> own = random_parts(op, operands, floats, random)) return *std::move(own);
  std::size_t rank = random.below(4);
  if (!operands.empty() && random.chance(0.9)) rank = operands[0].rank();
  Attributes attributes;
  for (const AttributeSpec& spec : def(op).attributes)
    attributes.push_back(random_attribute(spec.kind, operands, rank, floats, random));
  return attributes;
}

bool touches_extent(const RandomNode& node, std::int64_t extent) {
  const auto has_axis = [&](const Type& type) {
    return std::ranges::find(type.shape, Dim(extent)) != type.shape.end();
  };
  return std::ranges::any_of(node.operands, has_axis) || std::ranges::any_of(node.results, has_axis);
}

std::vector<RandomNode> random_nodes(Op op, ElementType floats, std::size_t count, Random& random) {
  std::vector<RandomNode> nodes;
  bool has_axes = false;
  std::vector<std::int64_t> missing(std::begin(kExtents), std::end(kExtents));  // extents not seen yet
  if (def(op).arity == kArityOfBody) missing.clear();  // random_scan.cpp has extents of its own
  const auto goes_on = [&](std::size_t trial) {
    if (nodes.size() < count) return trial < kTrials;
    return !missing.empty() && trial < (has_axes ? kTrialsForExtents : kTrials);
  };
  for (std::size_t trial = 0; goes_on(trial); ++trial) {
    RandomNode node = random_trial(op, floats, random);
    if (!is_accepted(node)) continue;
    const std::size_t erased =
        std::erase_if(missing, [&](std::int64_t extent) { return touches_extent(node, extent); });
    has_axes |= erased > 0;
    if (nodes.size() >= count && erased == 0) continue;
    const bool is_new = std::ranges::none_of(nodes, [&](const RandomNode& other) {
      return other.operands == node.operands && other.attributes == node.attributes;
    });
    if (is_new) nodes.push_back(std::move(node));
  }
  return nodes;
}

HostTensor random_operand(const Type& type, std::size_t k, bool is_positive, Random& random) {
  HostTensor out;
  for (const Dim& extent : type.shape) out.shape.push_back(extent.constant().value());
  std::vector<std::size_t> places(static_cast<std::size_t>(count_of(type.shape)));
  std::iota(places.begin(), places.end(), std::size_t{0});
  shuffle(places, random);
  // Multiples of the golden ratio: never close to each other, and no operand is another's multiple.
  double whole;
  const double between = std::modf(static_cast<double>(k + 1) * std::numbers::phi, &whole);
  for (std::size_t place : places) {
    double x = 0;
    if (is_float(type.element)) {
      x = 0.25 + 0.5 * (static_cast<double>(place) + between) / static_cast<double>(places.size());
      if (!is_positive && random.chance(0.5)) x = -x;
    } else {
      x = static_cast<double>(random.below(type.element == ElementType::boolean ? 2 : 7));
    }
    out.values.push_back(x);
  }
  return out;
}

HostTensor random_direction(const Type& type, Random& random) {
  HostTensor out = random_operand(type, 0, true, random);
  for (double& x : out.values) x = random.between(-1, 1);
  return out;
}

}  // namespace mlpc::testing
