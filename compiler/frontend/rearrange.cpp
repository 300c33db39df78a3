#include "compiler/frontend/rearrange.h"

#include <algorithm>
#include <cctype>

namespace mlpc::frontend {

using ir::Dim;
using ir::Shape;
using ir::ValueId;

namespace {

constexpr std::size_t kMostFactors = 26;

std::vector<std::string> names_of(const AxisPattern::Axes& axes) {
  std::vector<std::string> out;
  for (const auto& group : axes) out.insert(out.end(), group.begin(), group.end());
  return out;
}

AxisPattern::Axes parse_side(Elaborator& el, std::string_view text, Span span) {
  AxisPattern::Axes out;
  bool is_open = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '(' && !is_open) {
      is_open = true;
      out.emplace_back();
      ++i;
    } else if (c == ')' && is_open) {
      is_open = false;
      ++i;
    } else if (c == ' ') {
      ++i;
    } else if (std::isalpha(static_cast<unsigned char>(c))) {
      std::size_t end = i;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_'))
        ++end;
      if (!is_open) out.emplace_back();
      out.back().emplace_back(text.substr(i, end - i));
      i = end;
    } else {
      el.fail_at("bad-pattern", span,
                 fmt::format("`{}` cannot stand in a pattern; it is written as \"b t (h d) -> b h t d\"", c));
    }
  }
  if (is_open) el.fail_at("bad-pattern", span, "a `(` of the pattern is not closed");
  return out;
}

/// The extents of an axis' factors; one that is not stated follows.
void solve(Elaborator& el, const std::vector<std::string>& group, const Dim& extent,
           std::map<std::string, Dim>& extents, Span span) {
  Dim product = 1;
  const std::string* unknown = nullptr;
  for (const std::string& name : group) {
    const auto known = extents.find(name);
    if (known != extents.end())
      product = product * known->second;
    else if (unknown)
      el.fail_at("bad-pattern", span,
                 fmt::format("neither the extent of `{}` nor that of `{}` is known", *unknown, name), {},
                 fmt::format("give one as an argument: `{} = …`", name));
    else
      unknown = &name;
  }
  const auto refuse = [&] {
    el.fail_at(
        "bad-reshape", span,
        fmt::format("an axis of extent {} cannot be split into parts of {}", extent.text(), product.text()));
  };
  if (!unknown) {
    if (product != extent) refuse();
    return;
  }
  const std::optional<Dim> rest = extent.divided_by(product);
  if (!rest) refuse();
  extents.emplace(*unknown, *rest);
}

}  // namespace

AxisPattern parse_pattern(Elaborator& el, const std::string& text, Span span) {
  const std::size_t arrow = text.find("->");
  if (arrow == std::string::npos)
    el.fail_at("bad-pattern", span, "the pattern has no `->`", {},
               "it names the axes before and after: \"b t d -> b d t\"");
  const std::string_view view = text;
  AxisPattern out{parse_side(el, view.substr(0, arrow), span), parse_side(el, view.substr(arrow + 2), span)};
  std::vector<std::string> from = names_of(out.from), to = names_of(out.to);
  if (from.size() > kMostFactors)
    el.fail_at("bad-pattern", span,
               fmt::format("the pattern has {} names; the most is {}", from.size(), kMostFactors));
  std::ranges::sort(from);
  std::ranges::sort(to);
  for (const std::vector<std::string>* side : {&from, &to}) {
    if (const auto twice = std::ranges::adjacent_find(*side); twice != side->end())
      el.fail_at("bad-pattern", span,
                 fmt::format("`{}` stands twice on the {} of the pattern", *twice,
                             side == &from ? "left" : "right"));
    const std::vector<std::string>& other = side == &from ? to : from;
    for (const std::string& name : *side)
      if (!std::ranges::binary_search(other, name))
        el.fail_at(
            "bad-pattern", span,
            fmt::format("`{}` stands only on the {} of the pattern", name, side == &from ? "left" : "right"));
  }
  return out;
}

ValueId rearranged(Elaborator& el, ValueId x, const AxisPattern& pattern, std::map<std::string, Dim> extents,
                   Span span) {
  const ir::Type type = el.type(x);
  if (pattern.from.size() != type.rank())
    el.fail_at("rank-mismatch", span,
               fmt::format("the left of the pattern has {} axes; the tensor is {}", pattern.from.size(),
                           type.text()));
  for (std::size_t axis = 0; axis < type.rank(); ++axis)
    solve(el, pattern.from[axis], type.shape[axis], extents, span);
  const std::vector<std::string> from = names_of(pattern.from), to = names_of(pattern.to);
  Shape apart, joined;
  for (const std::string& name : from) apart.push_back(extents.at(name));
  for (const auto& group : pattern.to) {
    Dim extent = 1;
    for (const std::string& name : group) extent = extent * extents.at(name);
    joined.push_back(extent);
  }
  ir::Integers permutation;
  for (const std::string& name : to) permutation.push_back(std::ranges::find(from, name) - from.begin());
  const ValueId factors = el.b().reshape(x, apart);
  return el.b().reshape(el.b().transpose(factors, permutation), joined);
}

}  // namespace mlpc::frontend
