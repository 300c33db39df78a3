#pragma once

#include <algorithm>

#include "compiler/frontend/elaborator.h"

namespace mlpc::frontend {

/// The arguments of one call of a builtin, taken one by one; what is left over is an error.
class Arguments {
 public:
  Arguments(Elaborator& el, const std::string& name, Call& call)
      : el_(el), name_(name), call_(call), used_(call.items.size(), false) {}

  const Call::Item* find(std::size_t position, std::string_view formal) {
    (position == SIZE_MAX ? named_ : positional_).emplace_back(formal);
    std::size_t seen = 0;
    for (std::size_t i = 0; i < call_.items.size(); ++i) {
      const Call::Item& item = call_.items[i];
      const bool is_it = item.name.empty() ? seen++ == position : item.name == formal;
      if (is_it && !used_[i]) {
        used_[i] = true;
        return &item;
      }
    }
    return nullptr;
  }
  const Call::Item* named(std::string_view formal) { return find(SIZE_MAX, formal); }
  const Call::Item& need(std::size_t position, std::string_view formal) {
    if (const Call::Item* item = find(position, formal)) return *item;
    el_.fail_at("missing-argument", call_.callee, fmt::format("`{}` needs the argument `{}`", name_, formal));
  }
  ir::ValueId tensor(std::size_t position, std::string_view formal) {
    const Call::Item& item = need(position, formal);
    return el_.tensor(item.value, item.span);
  }
  double number(std::size_t position, std::string_view formal) {
    const Call::Item& item = need(position, formal);
    return el_.number(item.value, item.span, fmt::format("`{}`", formal));
  }
  std::size_t positional() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(call_.items, [](const Call::Item& i) { return i.name.empty(); }));
  }
  void done() {
    for (std::size_t i = 0; i < used_.size(); ++i)
      if (!used_[i]) refuse(call_.items[i]);
  }
  Span span() const { return call_.span; }
  const std::string& name() const { return name_; }

 private:
  [[noreturn]] void refuse(const Call::Item& item) {
    if (item.name.empty())
      el_.fail_at("too-many-arguments", item.span,
                  fmt::format("`{}` takes {} {} by position, not {}", name_, positional_.size(),
                              positional_.size() == 1 ? "argument" : "arguments", positional()),
                  {}, named_.empty() ? "" : fmt::format("the next is given by name: `{} = …`", named_[0]));
    std::vector<std::string> all = positional_;
    all.insert(all.end(), named_.begin(), named_.end());
    const std::string guess = guess_of(item.name, all);
    el_.fail_at("unknown-argument", item.name_span,
                fmt::format("`{}` has no argument `{}`", name_, item.name), {},
                guess.empty() ? "it takes " + enumerated(all) : guess);
  }

  Elaborator& el_;
  const std::string& name_;
  Call& call_;
  std::vector<bool> used_;
  std::vector<std::string> positional_, named_;  // those that were looked for
};

/// An axis of a tensor of that rank, counted from the end where it is negative.
std::int64_t checked_axis(Elaborator& el, const Value& v, Span span, std::size_t rank);
/// `axis = 1`, `axis = [0, -1]`, ascending; else all of them, or the last one.
ir::Integers axes(Elaborator& el, Arguments& a, ir::ValueId x, bool last = false);
/// `axis = n`, or the last.
std::size_t one_axis(Elaborator& el, Arguments& a, std::size_t rank);

/// An integer input that indexes something of extent n is checked by every call, before anything is written.
void note_bound(Elaborator& el, ir::ValueId index, std::int64_t n);

/// What a builtin does with its arguments; those that it leaves over are errors.
using Rule = Value (*)(Elaborator&, Arguments&);
using Rules = std::map<std::string, Rule>;
/// Axes and their order: reshape, transpose, rearrange, split, … (layout_builtins.cpp).
const Rules& layout_rules();
/// Parts of tensors, and tensors of parts: concat, stack, split, pad, gather, … (part_builtins.cpp).
const Rules& part_rules();
/// grad, jvp, vjp, jacobian (derivatives.cpp).
const Rules& derivative_rules();

}  // namespace mlpc::frontend
