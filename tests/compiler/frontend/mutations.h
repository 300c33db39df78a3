#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mlpc::testing {

/// A source with one small mistake.
struct Mutant {
  std::string what;  // "dense deleted", for messages
  std::string source;
  std::vector<std::uint32_t> lines;  // where the change is, in the mutant
  std::vector<std::string> names;    // that stand on those lines
  std::uint32_t opening_line = 0;    // of the bracket whose partner was changed; 0 if none was
};

/// Every token deleted, doubled and swapped with its neighbour, and every whole number one larger.
std::vector<Mutant> mutants_of(const std::string& source);

/// What is wrong with what parse_net says of a mutant; empty if nothing is: it is a program, or has 1 to 3
/// errors, and the first is on a changed line, says where the other half is, or names what stands there.
/// `name` is the file's: what it uses is looked for beside it.
std::string complaint_about(const Mutant& mutant, const std::string& name);

}  // namespace mlpc::testing
