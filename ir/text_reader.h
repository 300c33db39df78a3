#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ir/program.h"

namespace mlpc::ir::detail {

/// Reads the text forms token by token. Newlines are blanks, `//` begins a comment. Errors carry the place of
/// the token at hand. Nothing is allocated by a number that was read, only by tokens that were.
class Reader {
 public:
  Reader(std::string_view text, std::string_view file);

  [[noreturn]] void error(std::string_view what) const;
  bool at_end() const { return kind_ == Kind::end; }
  bool at(std::string_view token) const { return kind_ != Kind::string && token_ == token; }
  bool at_value() const { return kind_ == Kind::value; }
  bool at_scalar() const { return at_value() && token_.starts_with("%s"); }  // of a kernel
  bool accept(std::string_view token);
  void expect(std::string_view token);

  std::string word();        // a name or keyword: letters, digits, `_` and `.`
  std::string value_name();  // after `%`
  std::string string();      // quoted
  std::int64_t integer();    // signed
  std::uint64_t bits();      // unsigned, 64 bits
  std::uint32_t index();     // 0 … 2³¹ - 1
  Dim dim();                 // a polynomial
  Dim dim_product();         // one term of it, without a sign
  Shape shape();             // "[B, 2*T]"
  Type type();               // "f32[B, 256]"
  ElementType element_type();
  Constant constant();  // "f32(0.5)"

  /// Everything of print_header, then of print_locations.
  void header(Program& program);
  void locations(Program& program);

 private:
  enum class Kind : std::uint8_t { end, word, number, string, value, punctuation };
  void next();
  void skip_blanks();
  void lex_string();
  bool skip_turn();
  Dim dim_factor();
  void tensor(std::vector<TensorInfo>& list);
  void input(Program& program);

  std::string_view text_;
  std::string file_;
  std::size_t position_ = 0, token_begin_ = 0;
  Kind kind_ = Kind::end;
  std::string_view token_;
  std::string string_;  // of Kind::string, without escapes
  int depth_ = 0;
};

}  // namespace mlpc::ir::detail
