#pragma once

#include <string_view>

// What the fuzzers call: each takes any bytes, and either refuses them with an error or has a program that
// passes its verifier. Whatever else happens (a crash, a failed check of ours, a hang) is a finding.

namespace mlpc::fuzz {

/// A source, through the frontend and all passes to the joint graph.
void net(std::string_view bytes);
/// A dump of graphs: what it says is printed and read again.
void graph(std::string_view bytes);
/// A dump of kernels, the same.
void kernels(std::string_view bytes);

}  // namespace mlpc::fuzz
