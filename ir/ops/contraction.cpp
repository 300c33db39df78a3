#include <algorithm>
#include <map>

#include "ir/ops/common.h"
#include "ir/ops/einsum.h"

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kSpec[] = {{"spec", Kind::string}};
constexpr std::size_t kMostLetters = 52;

EinsumSpec spec_of(const Attributes& a) { return parse_einsum(std::get<std::string>(a[0])); }

/// The extent of every letter.
std::map<char, Dim> extents_of(const EinsumSpec& spec, Types x) {
  std::map<char, Dim> extents;
  for (std::size_t k = 0; k < x.size(); ++k)
    for (std::size_t axis = 0; axis < spec.operands[k].size(); ++axis) {
      const auto [it, is_new] = extents.emplace(spec.operands[k][axis], x[k].shape[axis]);
      if (!is_new && it->second != x[k].shape[axis])
        fail("`{}` is {} and {}: {}", spec.operands[k][axis], it->second.text(), x[k].shape[axis].text(),
             spec.text());
    }
  return extents;
}

std::vector<Type> einsum_type(Types x, const Attributes& a) {
  const std::string& text = std::get<std::string>(a[0]);
  const EinsumSpec spec = parse_einsum(text);
  if (spec.operands.size() != x.size())
    fail("\"{}\" names {} operands, there are {}", text, spec.operands.size(), x.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    require_float(x[k]);
    if (x[k].element != x[0].element) fail("operands are {} and {}", x[0].text(), x[k].text());
    if (spec.operands[k].size() != x[k].rank())
      fail("\"{}\" has {} letters for {}", text, spec.operands[k].size(), x[k].text());
  }
  const std::map<char, Dim> extents = extents_of(spec, x);
  if (extents.size() > kMostLetters) fail("\"{}\" has too many letters", text);
  Type result{x[0].element, {}};
  for (char letter : spec.result) {
    if (!extents.contains(letter)) fail("\"{}\" has `{}` in the result only", text, letter);
    result.shape.push_back(extents.at(letter));
  }
  return {result};
}

/// x̄ₖ is the einsum with ȳ in the place of xₖ; letters that only xₖ had are repeated.
MaybeValue einsum_transpose(Builder& b, const NodeView& n, std::size_t k, std::span<const MaybeValue> y) {
  EinsumSpec spec = spec_of(n.attributes);
  const std::string wanted = spec.operands[k];
  spec.operands[k] = spec.result;
  std::vector<ValueId> operands;
  for (std::size_t i = 0; i < n.operand_types.size(); ++i) operands.push_back(i == k ? *y[0] : n.operand(i));
  std::string available;
  for (const std::string& letters : spec.operands) available += letters;
  spec.result.clear();
  Integers axes;
  for (std::size_t axis = 0; axis < wanted.size(); ++axis)
    if (available.find(wanted[axis]) != std::string::npos) {
      spec.result += wanted[axis];
      axes.push_back(static_cast<std::int64_t>(axis));
    }
  const ValueId product = b.einsum(spec.text(), operands);
  return spec.result == wanted ? product : b.broadcast(product, n.operand_types[k].shape, axes);
}

/// The einsum itself, with a dot for the operand.
std::string einsum_jacobian(const NodeView& n, std::size_t k, std::span<const std::string> x,
                            std::string_view) {
  std::string out = fmt::format("einsum(\"{}\"", std::get<std::string>(n.attributes[0]));
  for (std::size_t i = 0; i < x.size(); ++i) out += ", " + (i == k ? "·" : x[i]);
  return out + ")";
}

std::vector<HostTensor> einsum_reference(const ReferenceContext& c, Operands x) {
  const EinsumSpec spec = spec_of(c.attributes);
  std::string letters = spec.result + spec.contracted;
  std::vector<std::int64_t> extents(letters.size(), 0);
  for (std::size_t k = 0; k < x.size(); ++k)
    for (std::size_t axis = 0; axis < spec.operands[k].size(); ++axis)
      extents[letters.find(spec.operands[k][axis])] = x[k]->shape[axis];
  HostTensor out{c.result_shapes[0], std::vector<double>(element_count(c.result_shapes[0]), 0)};
  for_each_index(extents, [&](const std::vector<std::int64_t>& index) {
    const auto at = [&](const std::string& wanted, const std::vector<std::int64_t>& shape) {
      std::vector<std::int64_t> place;
      for (char letter : wanted) place.push_back(index[letters.find(letter)]);
      return position(shape, place);
    };
    double product = 1;
    for (std::size_t k = 0; k < x.size(); ++k) product *= x[k]->values[at(spec.operands[k], x[k]->shape)];
    double& sum = out.values[at(spec.result, out.shape)];
    sum = spec.contracted.empty() ? product : sum + product;  // a product alone may be -0
  });
  return {std::move(out)};
}

}  // namespace

EinsumSpec parse_einsum(std::string_view text) {
  const std::size_t arrow = text.find("->");
  if (arrow == std::string_view::npos) fail("\"{}\" has no `->`", text);
  EinsumSpec out;
  out.result = text.substr(arrow + 2);
  out.operands.emplace_back();
  for (char letter : text.substr(0, arrow)) {
    if (letter == ',')
      out.operands.emplace_back();
    else
      out.operands.back() += letter;
  }
  const auto check = [&](const std::string& letters) {
    for (char letter : letters)
      if (!std::isalpha(static_cast<unsigned char>(letter)) || std::ranges::count(letters, letter) > 1)
        fail("\"{}\": `{}` is no letter, or twice in one operand", text, letter);
  };
  std::ranges::for_each(out.operands, check);
  check(out.result);
  for (const std::string& letters : out.operands)
    for (char letter : letters)
      if (out.result.find(letter) == std::string::npos && out.contracted.find(letter) == std::string::npos)
        out.contracted += letter;
  return out;
}

std::string EinsumSpec::text() const {
  std::string out;
  for (std::size_t k = 0; k < operands.size(); ++k) out += (k ? "," : "") + operands[k];
  return out + "->" + result;
}

const OpDef einsum_ = {
    .name = "einsum",
    .summary =
        "products of the operands, summed over the letters that the result lacks, by one chain of FMAs",
    .arity = kAnyArity,
    .attributes = kSpec,
    .type_rule = einsum_type,
    .derivative = Multilinear{UINT32_MAX, einsum_transpose},
    .jacobian = einsum_jacobian,
    .lowering = ContractionLowering{},
    .reference = einsum_reference};

}  // namespace mlpc::ir::ops
