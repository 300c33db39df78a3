#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace mlpc::ir {

class Graph;

/// What each parameter and result of a body is, found by its role and index; the parameters may stand in any
/// order.
struct BodySignature;

/// The graph that a `scan` runs once a turn, as an attribute: closed, shared, never changed, compared by its
/// structure (names, comments and locations aside).
class Body {
 public:
  /// Throws mlpc::Error where roles, indexes or nesting are not those of a body.
  explicit Body(Graph graph);
  const Graph& graph() const;
  const BodySignature& signature() const;
  std::size_t hash() const;
  /// 1 for a body without bodies.
  int depth() const;
  /// Nodes, those of the bodies inside counted wherever they run.
  std::int64_t node_count() const;

  friend bool operator==(const Body& a, const Body& b);

 private:
  struct Content;
  std::shared_ptr<const Content> content_;
};

}  // namespace mlpc::ir

template <>
struct std::hash<mlpc::ir::Body> {
  std::size_t operator()(const mlpc::ir::Body& body) const { return body.hash(); }
};
