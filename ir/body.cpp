#include "ir/body.h"

#include <algorithm>

#include "ir/error.h"
#include "ir/graph.h"
#include "ir/hash.h"

namespace mlpc::ir {
namespace {

constexpr int kDeepest = 16;                                // bodies in bodies
constexpr std::int64_t kMostNodes = std::int64_t{1} << 22;  // of a body, all nested ones counted

bool is_same(const Graph& a, const Node& m, const Graph& b, const Node& n) {
  const auto types_agree = [&] {
    for (std::uint32_t r = 0; r < m.result_count; ++r)
      if (a.type(Graph::result(m, r)) != b.type(Graph::result(n, r))) return false;
    return true;
  };
  return m.op == n.op && m.result_count == n.result_count &&
         std::ranges::equal(a.operands(m), b.operands(n)) && m.attributes == n.attributes && types_agree();
}

/// Parameters and results: their roles, indexes and values.
template <typename List>
bool are_same(const List& a, const List& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.role == y.role && x.index == y.index && x.value == y.value;
  });
}

bool is_same(const Graph& a, const Graph& b) {
  if (a.node_count() != b.node_count() || !are_same(a.parameters(), b.parameters()) ||
      !are_same(a.results, b.results))
    return false;
  for (std::uint32_t i = 0; i < a.node_count(); ++i)
    if (!is_same(a, a.node({i}), b, b.node({i}))) return false;
  return true;
}

std::size_t hash_of(const Graph& graph) {
  std::size_t seed = graph.node_count();
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& n = graph.node({i});
    seed = mix(seed, hash_of(n.op, graph.operands(n), n.attributes));
  }
  const auto add = [&](const auto& list) {
    for (const auto& item : list)
      seed = mix(mix(mix(seed, static_cast<std::size_t>(item.role)), item.index), item.value.index);
  };
  add(graph.parameters());
  add(graph.results);
  return seed;
}

class SignatureReader {
 public:
  explicit SignatureReader(const Graph& graph) : graph_(graph) {}

  BodySignature run() {
    std::vector<ValueId> turns;
    for (const Graph::Parameter& p : graph_.parameters()) put(list_of(p.role, turns), p);
    for (const Graph::Result& r : graph_.results) {
      if (r.value.index >= graph_.value_count())
        fail("graph {}: result `{}` is no value", graph_.name, r.name);
      if (r.role != Role::loop && r.role != Role::stacked)
        fail("graph {}: a body has no result of the role {}", graph_.name, name_of(r.role));
      put(r.role == Role::loop ? out_.next : out_.stacked, r);
    }
    if (turns.size() != 1 || graph_.type(turns[0]) != Type{ElementType::i64, {}})
      fail("graph {}: a body has one parameter `turn`, an i64[]", graph_.name);
    out_.turn = turns[0];
    for (const auto* list : {&out_.consts, &out_.loops, &out_.sequences, &out_.next, &out_.stacked})
      if (std::ranges::find(*list, ValueId{}) != list->end())
        fail("graph {}: the parameters or results of one role are not numbered from 0", graph_.name);
    check_loops();
    return std::move(out_);
  }

 private:
  std::vector<ValueId>& list_of(Role role, std::vector<ValueId>& turns) {
    if (role == Role::turn) return turns;
    if (role == Role::constant) return out_.consts;
    if (role == Role::loop) return out_.loops;
    if (role == Role::sequence) return out_.sequences;
    fail("graph {}: a body has no parameter of the role {}", graph_.name, name_of(role));
  }

  template <typename Item>
  void put(std::vector<ValueId>& list, const Item& item) const {
    if (item.index >= graph_.parameters().size() + graph_.results.size())
      fail("graph {}: {} `{}` has the index {}", graph_.name, name_of(item.role), item.name, item.index);
    if (item.index >= list.size()) list.resize(item.index + 1);
    if (list[item.index] != ValueId{})
      fail("graph {}: two values are {} {}", graph_.name, name_of(item.role), item.index);
    list[item.index] = item.value;
  }

  void check_loops() const {
    if (out_.loops.size() != out_.next.size())
      fail("graph {}: {} loop values have {} next values", graph_.name, out_.loops.size(), out_.next.size());
    for (std::size_t i = 0; i < out_.loops.size(); ++i)
      if (graph_.type(out_.loops[i]) != graph_.type(out_.next[i]))
        fail("graph {}: loop value {} is {}, its next value {}", graph_.name, i,
             graph_.type(out_.loops[i]).text(), graph_.type(out_.next[i]).text());
  }

  const Graph& graph_;
  BodySignature out_;
};

}  // namespace

struct Body::Content {
  Graph graph;
  BodySignature signature;
  std::size_t hash = 0;
  int depth = 1;
  std::int64_t node_count = 0;
};

Body::Body(Graph graph) {
  Content content;
  content.signature = SignatureReader(graph).run();
  content.hash = hash_of(graph);
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Body* inner = body_of(graph.node({i})))
      content.depth = std::max(content.depth, inner->depth() + 1);
  content.node_count = expanded_node_count(graph);
  if (content.depth > kDeepest) fail("graph {}: bodies are nested deeper than {}", graph.name, kDeepest);
  if (content.node_count > kMostNodes)
    fail("graph {}: more than {} nodes with those of the bodies inside", graph.name, kMostNodes);
  content.graph = std::move(graph);
  content_ = std::make_shared<const Content>(std::move(content));
}

const Graph& Body::graph() const { return content_->graph; }
const BodySignature& Body::signature() const { return content_->signature; }
std::size_t Body::hash() const { return content_->hash; }
int Body::depth() const { return content_->depth; }
std::int64_t Body::node_count() const { return content_->node_count; }

bool operator==(const Body& a, const Body& b) {
  return a.content_ == b.content_ || (a.hash() == b.hash() && is_same(a.graph(), b.graph()));
}

const Body* body_of(const Node& node) {
  for (const Attribute& attribute : node.attributes)
    if (const auto* body = std::get_if<Body>(&attribute)) return body;
  return nullptr;
}

std::int64_t expanded_node_count(const Graph& graph) {
  auto count = static_cast<std::int64_t>(graph.node_count());
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Body* body = body_of(graph.node({i}))) count += body->node_count();
  return count;
}

}  // namespace mlpc::ir
