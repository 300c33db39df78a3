#include "compiler/frontend/foreign.h"

#include <algorithm>
#include <array>
#include <map>

// What people write who come from Python and its libraries, or from C. It is an error here, and the hint says
// how the same is written.

namespace mlpc::frontend {

const ForeignSign* foreign_sign(std::string_view text) {
  constexpr std::string_view kAssign = "write it out: `h = h + 1`";
  // The first that fits.
  static constexpr auto kSigns = std::to_array<ForeignSign>({
      {"//=", "", kAssign},
      {"**", "^", "a power is written `^`"},
      {"&&", "and", "write `and`"},
      {"||", "or", "write `or`"},
      {"+=", "", kAssign},
      {"-=", "", kAssign},
      {"*=", "", kAssign},
      {"/=", "", kAssign},
      {":=", "=", "write `=`"},
      {"=>", "", "a function is written `fn f(x) = …`"},
      {"->", "", "a pipe is written `|>`, a function `fn f(x) = …`"},
      {"/*", "", "a comment begins with `#` and ends with its line"},
      {"...", "..", "write `..`"},
      {"&", "and", "write `and`"},
      {"|", "", "a pipe is written `|>`, the logical operator `or`"},
      {"!", "not", "write `not`"},
      {"?", "", "write `if c { a } else { b }`"},
      {"\\", "", "a statement goes on in the next line inside brackets and after an operator"},
      {"×", "*", "write `*`"},
      {"·", "*", "write `*`"},
      {"÷", "/", "write `/`"},
      {"−", "-", "write `-`, the sign of the keyboard"},
      {"–", "-", "write `-`, the sign of the keyboard"},
      {"≤", "<=", "write `<=`"},
      {"≥", ">=", "write `>=`"},
      {"≠", "!=", "write `!=`"},
      {"→", "", "a pipe is written `|>`"},
      {"…", "..", "write `..`"},
  });
  if (text.starts_with("!=") || text.starts_with("|>")) return nullptr;
  const auto found =
      std::ranges::find_if(kSigns, [&](const ForeignSign& sign) { return text.starts_with(sign.text); });
  return found == kSigns.end() ? nullptr : &*found;
}

namespace {

using Hints = std::map<std::string_view, std::string_view>;

std::string hint_in(const Hints& hints, std::string_view word) {
  const auto found = hints.find(word);
  return found == hints.end() ? "" : std::string(found->second);
}

}  // namespace

std::string hint_for_keyword(std::string_view word) {
  constexpr std::string_view kFn = "a function is written `fn f(x) = …`",
                             kValue = "a value is named by `h = …` alone",
                             kFile = "another file is brought in by `use \"blocks.net\"`";
  static const Hints hints = {
      {"def", kFn},
      {"function", kFn},
      {"lambda", "a function is written `fn f(x) = …` and passed by its name"},
      {"class", "a layer is written `layer name(n)(x[.., m]) { … }`, a network `model name { … }`"},
      {"import", kFile},
      {"from", kFile},
      {"include", kFile},
      {"let", kValue},
      {"var", kValue},
      {"while", "loops are `for i in 0..n { … }` and, over time, `recur t in 0..T { … }`"},
      {"elif", "write `else if`"},
      {"print", "nothing is printed; a result is written `output y = …`"},
  };
  return hint_in(hints, word);
}

std::string hint_for_name(std::string_view name) {
  constexpr std::string_view kModule = "functions belong to no module: write `exp(x)`",
                             kExtent =
                                 "an extent has a name, as in `input x[B, 784]`; else `extent(x, axis = 1)`",
                             kMatmul = "the product of matrices is `a @ b`",
                             kNoise = "random numbers are drawn by `noise e[B, 4] ~ normal(0, 1)`",
                             kOrder = "axes change their order by `rearrange(x, \"a b c -> c a b\")`",
                             kClamp = "limits are set by `max(x, low)` and `min(x, high)`";
  static const Hints hints = {
      {"True", "did you mean `true`?"},
      {"False", "did you mean `false`?"},
      {"None", "there is no such value; an argument with a default can be left out"},
      {"range", "a range is written `0..n`"},
      {"self", "parameters and layers have plain names: `fc = dense(10)`"},
      {"np", kModule},
      {"numpy", kModule},
      {"torch", kModule},
      {"nn", kModule},
      {"F", kModule},
      {"tf", kModule},
      {"keras", kModule},
      {"jax", kModule},
      {"jnp", kModule},
      {"math", kModule},
      {"Linear", "did you mean `dense`? It takes the extent of its result only"},
      {"Embedding", "did you mean `embed`?"},
      {"Sequential", "layers follow each other by `|>`: `x |> dense(64, relu) |> dense(10)`"},
      {"BCEWithLogitsLoss", "did you mean `binary_cross_entropy`?"},
      {"shape", kExtent},
      {"size", kExtent},
      {"arange", "did you mean `indices`?"},
      {"linspace", "did you mean `indices`?"},
      {"matmul", kMatmul},
      {"dot", kMatmul},
      {"mm", kMatmul},
      {"pow", "a power is written `x^2`"},
      {"rand", kNoise},
      {"randn", kNoise},
      {"permute", kOrder},
      {"swapaxes", kOrder},
      {"view", "did you mean `reshape`?"},
      {"cat", "did you mean `concat`?"},
      {"squeeze", "an axis of extent 1 is taken away by `x[:, 0]`"},
      {"unsqueeze", "an axis of extent 1 is added by `x[:, _]`"},
      {"clip", kClamp},
      {"clamp", kClamp},
      {"std", "`mu, v = moments(x)` are the mean and the variance"},
      {"float", "did you mean `f32`?"},
      {"int", "did you mean `i32`?"},
      {"double", "did you mean `f64`?"},
      {"float32", "did you mean `f32`?"},
      {"float64", "did you mean `f64`?"},
      {"int32", "did you mean `i32`?"},
      {"int64", "did you mean `i64`?"},
      {"long", "did you mean `i64`?"},
      {"uint8", "did you mean `u8`?"},
      {"boolean", "did you mean `bool`?"},
  };
  return hint_in(hints, name);
}

}  // namespace mlpc::frontend
