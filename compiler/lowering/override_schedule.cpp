#include "compiler/lowering/override_schedule.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "compiler/lowering/phases.h"
#include "compiler/lowering/task_rooms.h"
#include "ir/error.h"

namespace mlpc::lowering {
namespace {

constexpr std::int64_t kMostUnrolled = 64;
constexpr std::int64_t kLargestTask = std::int64_t{1} << 40;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const std::size_t length = std::min(line.find_first_of(" \t\r"), line.size());
    words.push_back(line.substr(0, length));
    line.remove_prefix(length);
  }
}

/// Calls `visit` with every loop and reduction of a block, and of the blocks inside. Nesting was bounded by
/// the reader.
template <typename Visit>
void for_each_loop(ir::Block& block, const Visit& visit) {
  for (ir::Statement& statement : block) {
    auto* loop = std::get_if<ir::Loop>(&statement.kind);
    auto* reduce = std::get_if<ir::Reduce>(&statement.kind);
    if (loop) visit(*loop);
    if (reduce) visit(*reduce);
    std::visit(
        [&](auto& kind) {
          if constexpr (requires { kind.body; }) for_each_loop(kind.body, visit);
        },
        statement.kind);
  }
}

class Overrider {
 public:
  Overrider(ir::KernelProgram& program, std::string_view file) : program_(program), file_(file) {}

  void line(std::string_view text) {
    ++number_;
    const std::vector<std::string_view> words = words_of(text.substr(0, text.find("//")));
    if (words.empty()) return;
    words_ = words;
    if (word(0) == "kernel") return choose_kernel();
    if (!kernel_) error("a schedule stands before the first `kernel`");
    if (word(0) == "task") return task();
    if (word(0) == "for") return loop();
    if (word(0) == "reduce") return reduce();
    error("expected kernel, task, for or reduce");
  }

 private:
  [[noreturn]] void error(std::string_view problem) const {
    fail("{}:{}: error: {}", file_, number_, problem);
  }

  std::string_view word(std::size_t i) const { return i < words_.size() ? words_[i] : std::string_view(); }
  void expect_end(std::size_t i) const {
    if (i < words_.size()) error(fmt::format("`{}` is not expected here", words_[i]));
  }

  std::int64_t number(std::size_t i, std::int64_t most) const {
    const std::string_view w = word(i);
    std::int64_t value = 0;
    const auto [end, problem] = std::from_chars(w.data(), w.data() + w.size(), value);
    if (problem != std::errc() || end != w.data() + w.size() || value < 1 || value > most)
      error(fmt::format("`{}` is no number from 1 to {}", w, most));
    return value;
  }

  ir::VarId variable(std::size_t i) const {
    const std::string_view w = word(i);
    std::uint32_t value = 0;
    const char* begin = w.data() + std::min<std::size_t>(2, w.size());
    const auto [end, problem] = std::from_chars(begin, w.data() + w.size(), value);
    if (!w.starts_with("%i") || problem != std::errc() || end != w.data() + w.size())
      error(fmt::format("expected a loop variable such as %i0, found `{}`", w));
    return {value};
  }

  /// `unroll N`, from word i to the end; 1 if there is none.
  int unroll_at(std::size_t i) const {
    if (i == words_.size()) return 1;
    if (word(i) != "unroll") error(fmt::format("expected unroll, found `{}`", word(i)));
    expect_end(i + 2);
    return static_cast<int>(number(i + 1, kMostUnrolled));
  }

  void choose_kernel() {
    expect_end(2);
    const auto found = std::ranges::find(program_.kernels, word(1), &ir::Kernel::name);
    if (found == program_.kernels.end()) error(fmt::format("there is no kernel `{}`", word(1)));
    kernel_ = &*found;
  }

  void task() {
    const ir::VarId var = variable(1);
    const auto found = std::ranges::find(kernel_->tasks, var, &ir::TaskSplit::var);
    if (found == kernel_->tasks.end()) error(fmt::format("{} has no task over {}", kernel_->name, word(1)));
    if (word(2) != "block") error(fmt::format("expected block, found `{}`", word(2)));
    expect_end(4);
    found->block = number(3, kLargestTask);
  }

  void loop() {
    const ir::VarId var = variable(1);
    const bool lanes = word(2) == "lanes";
    const ir::LoopSchedule schedule{unroll_at(lanes ? 3 : 2), lanes};
    bool found = false;
    const auto visit = [&](auto& l) {
      if constexpr (requires { l.schedule; })
        if (l.var == var) l.schedule = schedule, found = true;
    };
    for_each_loop(kernel_->body, visit);
    if (!found) error(fmt::format("{} has no loop over {}", kernel_->name, word(1)));
  }

  void reduce() {
    const ir::VarId var = variable(1);
    const int unroll = unroll_at(2);
    bool found = false;
    const auto visit = [&](auto& l) {
      if constexpr (requires { l.ranges; })
        if (l.ranges.back().var == var) l.unroll = unroll, found = true;
    };
    for_each_loop(kernel_->body, visit);
    if (!found) error(fmt::format("{} has no reduction over {}", kernel_->name, word(1)));
  }

  ir::KernelProgram& program_;
  std::string_view file_;
  std::vector<std::string_view> words_;
  int number_ = 0;
  ir::Kernel* kernel_ = nullptr;
};

}  // namespace

void override_schedule(ir::KernelProgram& program, std::string_view text, std::string_view file) {
  Overrider overrider(program, file);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    overrider.line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  for (ir::LoweredEntry& entry : program.entries) {
    dissolve_phases(entry.actions, program.kernels);
    give_rooms(entry, program.kernels);
  }
}

}  // namespace mlpc::lowering
