#include "ir/text_reader.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "ir/error.h"

namespace mlpc::ir::detail {
namespace {

constexpr std::size_t kLongestText = std::size_t{1} << 28;  // bytes
constexpr int kDeepest = 32;                                // nested dims

bool is_word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; }
bool is_value_char(char c) { return is_word_char(c) || c == '/' || c == '\'' || c == '-'; }

template <typename T>
bool parse_all(std::string_view text, T& out) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  return code == std::errc{} && end == text.data() + text.size();
}

}  // namespace

Reader::Reader(std::string_view text, std::string_view file) : text_(text), file_(file) {
  if (text.size() > kLongestText) fail("{}: error: the text is longer than {} bytes", file, kLongestText);
  next();
}

void Reader::error(std::string_view what) const {
  const std::string_view before = text_.substr(0, token_begin_);
  const auto line = std::ranges::count(before, '\n') + 1;
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = token_begin_ - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
  fail("{}:{}:{}: error: {}", file_, line, column, what);
}

void Reader::skip_blanks() {
  while (position_ < text_.size()) {
    if (std::isspace(static_cast<unsigned char>(text_[position_]))) {
      ++position_;
    } else if (text_.substr(position_).starts_with("//")) {
      position_ = std::min(text_.find('\n', position_), text_.size());
    } else {
      return;
    }
  }
}

void Reader::lex_string() {
  string_.clear();
  for (++position_; position_ < text_.size() && text_[position_] != '"'; ++position_) {
    if (text_[position_] == '\n') break;
    if (text_[position_] == '\\' && position_ + 1 < text_.size()) {
      ++position_;
      string_ += text_[position_] == 'n' ? '\n' : text_[position_];
    } else {
      string_ += text_[position_];
    }
  }
  if (position_ >= text_.size() || text_[position_] != '"') error("the string has no end");
  ++position_;
}

/// "[12]" in the path of a repeated layer: `%block[12].W`.
bool Reader::skip_turn() {
  std::size_t end = position_ + 1;
  while (end < text_.size() && std::isdigit(static_cast<unsigned char>(text_[end]))) ++end;
  if (position_ >= text_.size() || text_[position_] != '[' || end == position_ + 1 || end >= text_.size() ||
      text_[end] != ']')
    return false;
  position_ = end + 1;
  return true;
}

void Reader::next() {
  skip_blanks();
  token_begin_ = position_;
  kind_ = Kind::end;
  token_ = {};
  if (position_ >= text_.size()) return;
  const char c = text_[position_];
  const auto take_while = [&](auto is_part) {
    while (position_ < text_.size() && is_part(text_[position_])) ++position_;
  };
  if (c == '"') {
    kind_ = Kind::string;
    lex_string();
  } else if (c == '%') {
    kind_ = Kind::value;
    ++position_;
    take_while(is_value_char);
    while (skip_turn()) take_while(is_value_char);
  } else if (std::isdigit(static_cast<unsigned char>(c))) {
    kind_ = Kind::number;
    // An exponent may be signed: 1e-05.
    take_while(
        [&](char d) { return is_word_char(d) || ((d == '-' || d == '+') && text_[position_ - 1] == 'e'); });
  } else if (is_word_char(c)) {
    kind_ = Kind::word;
    take_while(is_word_char);
  } else {
    kind_ = Kind::punctuation;
    const std::string_view rest = text_.substr(position_);
    position_ += rest.starts_with("==") || rest.starts_with(">=") || rest.starts_with("->") ? 2 : 1;
  }
  token_ = text_.substr(token_begin_, position_ - token_begin_);
}

bool Reader::accept(std::string_view token) {
  if (!at(token)) return false;
  next();
  return true;
}

void Reader::expect(std::string_view token) {
  if (!accept(token)) error(fmt::format("expected `{}`, found `{}`", token, at_end() ? "the end" : token_));
}

std::string Reader::word() {
  if (kind_ != Kind::word) error(fmt::format("expected a name, found `{}`", token_));
  std::string out(token_);
  next();
  return out;
}

std::string Reader::value_name() {
  if (kind_ != Kind::value || token_.size() < 2) error(fmt::format("expected a value, found `{}`", token_));
  std::string out(token_.substr(1));
  next();
  return out;
}

std::string Reader::string() {
  if (kind_ != Kind::string) error(fmt::format("expected a string, found `{}`", token_));
  std::string out = std::move(string_);
  next();
  return out;
}

std::uint64_t Reader::bits() {
  std::uint64_t value = 0;
  if (kind_ != Kind::number || !parse_all(token_, value))
    error(fmt::format("expected a number, found `{}`", token_));
  next();
  return value;
}

std::int64_t Reader::integer() {
  const bool is_negative = accept("-");
  const std::uint64_t magnitude = bits();
  const std::uint64_t limit = static_cast<std::uint64_t>(INT64_MAX) + (is_negative ? 1 : 0);
  if (magnitude > limit) error("the number does not fit in 64 bits");
  return static_cast<std::int64_t>(is_negative ? ~magnitude + 1 : magnitude);
}

std::uint32_t Reader::index() {
  const std::int64_t value = integer();
  if (value < 0 || value > INT32_MAX) error(fmt::format("{} is no index", value));
  return static_cast<std::uint32_t>(value);
}

Dim Reader::dim() {
  if (++depth_ > kDeepest) error("extents are nested too deep");
  Dim sum;
  for (bool is_negative = accept("-");; is_negative = at("-")) {
    if (at("+") || at("-")) next();
    const Dim product = dim_product();
    sum = is_negative ? sum - product : sum + product;
    if (!at("+") && !at("-")) break;
  }
  --depth_;
  return sum;
}

Dim Reader::dim_product() {
  Dim product = dim_factor();
  while (at("*") && text_.substr(position_).find_first_not_of(' ') != std::string_view::npos &&
         text_[text_.find_first_not_of(' ', position_)] != '%') {
    next();
    product = product * dim_factor();
  }
  return product;
}

Dim Reader::dim_factor() {
  if (kind_ == Kind::number) return integer();
  if (accept("-")) return Dim(-1) * dim_factor();
  if (accept("(")) {
    const Dim inner = dim();
    expect(")");
    return inner;
  }
  const std::string name = word();
  if (!accept("(")) return Dim::named(name);
  Dim result = dim();
  std::size_t operands = 1;
  std::optional<std::int64_t> divisor;
  for (; accept(","); ++operands) {
    const Dim operand = dim();
    divisor = operand.constant();
    if (name == "max") result = Dim::max(result, operand);
  }
  expect(")");
  const bool is_floordiv = name == "floordiv" && operands == 2 && divisor;
  if (!is_floordiv && (name != "max" || operands < 2))
    error(fmt::format("`{}` is no function of these extents", name));
  return is_floordiv ? Dim::floordiv(result, *divisor) : result;
}

Shape Reader::shape() {
  Shape out;
  expect("[");
  while (!at("]")) {
    if (!out.empty()) expect(",");
    out.push_back(dim());
  }
  expect("]");
  return out;
}

ElementType Reader::element_type() {
  const std::optional<ElementType> type = element_type_named(token_);
  if (!type) error(fmt::format("expected an element type, found `{}`", token_));
  next();
  return *type;
}

Type Reader::type() {
  const ElementType element = element_type();
  return {element, shape()};
}

Constant Reader::constant() {
  Constant out{element_type(), 0};
  expect("(");
  const bool is_negative = at("-");
  if (accept("bits")) {
    out.bits = bits();
  } else if (out.type == ElementType::boolean) {
    out.bits = accept("true") ? 1 : (expect("false"), 0);
  } else if (!is_float(out.type)) {
    out = Constant::of_integer(out.type, integer());
  } else {
    accept("-");
    double value = 0;
    float narrow = 0;
    if (accept("inf"))
      value = std::numeric_limits<double>::infinity();
    else if (accept("nan"))
      value = std::numeric_limits<double>::quiet_NaN();
    else if (out.type == ElementType::f32 ? !parse_all(token_, narrow) : !parse_all(token_, value))
      error(fmt::format("expected a number, found `{}`", token_));
    else
      next(), value = out.type == ElementType::f32 ? narrow : value;
    out = Constant::of(out.type, is_negative ? -value : value);
  }
  expect(")");
  return out;
}

void Reader::tensor(std::vector<TensorInfo>& list) {
  TensorInfo t;
  t.path = string();
  expect(":");
  t.type = type();
  if (!t.type.element_count().is_constant()) error(fmt::format("`{}` has a free extent", t.path));
  expect("offset");
  t.offset = integer();
  if (t.offset < 0 || t.offset % 64 != 0) error(fmt::format("{} is no offset", t.offset));
  expect("init");
  t.initialiser = string();
  expect("@");
  t.location = index();
  list.push_back(std::move(t));
}

void Reader::input(Program& p) {
  InputInfo info;
  info.name = string();
  expect(":");
  info.type = type();
  if (accept("bound")) info.index_bound = integer();
  p.inputs.push_back(std::move(info));
}

void Reader::header(Program& p) {
  expect("model");
  p.model = word();
  expect(":");
  p.element = element_type();
  expect("source");
  p.source_hash = string();
  expect("target");
  p.target = string();
  while (accept("dim")) p.dims.push_back(word());
  while (accept("param")) tensor(p.params);
  while (accept("state")) tensor(p.state);
  while (accept("slot")) tensor(p.slots);
  while (accept("input")) input(p);
  expect("train");
  p.train = string();
  while (accept("check")) {
    DimCheck check;
    check.left = dim();
    check.relation = accept("==") ? DimCheck::Relation::equal : (expect(">="), DimCheck::Relation::at_least);
    check.right = dim();
    expect("@");
    check.location = index();
    p.checks.push_back(std::move(check));
  }
}

void Reader::locations(Program& p) {
  while (accept("loc")) {
    if (index() != p.locations.size()) error("locations are not numbered in order");
    SourceLocation location;
    location.file = string();
    expect(":");
    location.line = index();
    expect(":");
    location.column = index();
    if (accept("as")) location.application = string();
    p.locations.push_back(std::move(location));
  }
  if (!at_end()) error(fmt::format("expected the end, found `{}`", token_));
}

}  // namespace mlpc::ir::detail
