#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace mlpc::ir {

/// What a program's text is at: the second word of its first line. All four are programs of graphs.
enum class Stage : std::uint8_t { graph, linear, jacobian, joint };
std::string_view name_of(Stage stage);

/// A parameter, state or optimizer slot: a part of one of the caller's buffers.
struct TensorInfo {
  std::string path;         // "enc.W"; slots: "m/enc.W"; see stacked_axes
  Type type;                // extents are constants
  std::int64_t offset = 0;  // bytes, a multiple of 64
  std::string initialiser;  // as written, for `info`
  std::uint32_t location = 0;
};

struct InputInfo {
  std::string name;
  Type type;
  std::int64_t index_bound = 0;  // > 0: its values index something of this extent and are 0 … index_bound-1
};

/// A relation of dims that could not be proved; the plan refuses dims that break it.
struct DimCheck {
  enum class Relation : std::uint8_t { equal, at_least } relation;  // left == right; left >= right
  Dim left, right;
  std::uint32_t location;
};

struct SourceLocation {
  std::string file;
  std::uint32_t line = 0, column = 0;
  std::string application;  // chain of layers that led there: "fc1", "block[3].attn"
};

/// "fashion.net:7:5 as fc1"
std::string text_of(const SourceLocation& location);

/// Everything that reaches the object: a program's text compiles to the same bytes as its source.
struct Program {
  Stage stage = Stage::graph;
  std::string model;  // NAME, the C prefix
  ElementType element = ElementType::f32;
  std::string source_hash;  // SHA-256 of the source and what it uses, hexadecimal
  std::string target;       // a row of target.h
  std::vector<std::string> dims;
  std::vector<TensorInfo> params, state, slots;
  std::vector<InputInfo> inputs;  // in order of declaration
  std::string train = "{}";       // settings of the trainer, JSON on one line
  std::vector<DimCheck> checks;
  std::vector<SourceLocation> locations;
  std::vector<Graph> graphs;  // infer, loss, forward, update, init; then grad, train_step; jvp, hvp, jacobian

  const Graph* find(std::string_view graph_name) const;
  Graph* find(std::string_view graph_name);
};

/// The entries that a compiled model can have, in the order of the ABI's enum mlpc_entry_kind.
std::span<const std::string_view> entry_names();

/// The leading axes of a tensor that are turns of loops: as many as its path has `[*]`. "block[*].W" :
/// f32[100, 64, 64] is block[0].W, block[1].W, … to all but the graphs, one after the other and without gaps:
/// a row's offset is a multiple of its element's size, no more.
std::size_t stacked_axes(std::string_view path);
/// What one path stands for: of a stack its rows, in order; else the tensor itself.
std::vector<TensorInfo> rows_of(const TensorInfo& tensor);
std::vector<TensorInfo> rows_of(const std::vector<TensorInfo>& tensors);

/// Bytes of a buffer that holds all of `tensors` at their offsets; a multiple of 64.
std::int64_t buffer_bytes(const std::vector<TensorInfo>& tensors);
/// Gives each tensor the next offset that is a multiple of 64. Throws mlpc::Error where the sum is too large.
void assign_offsets(std::vector<TensorInfo>& tensors);

/// Leaves the locations that something refers to.
void drop_unused_locations(Program& program);

}  // namespace mlpc::ir
