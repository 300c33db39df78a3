#include <algorithm>
#include <array>

#include "compiler/codegen/kernel_control.h"
#include "compiler/codegen/kernel_scalar.h"

namespace mlpc::codegen {
namespace {

// SplitMix64's increment and finaliser (Steele, Lea, Flood 2014).
constexpr std::uint64_t kMixIncrement = 0x9E3779B97F4A7C15;
constexpr std::uint64_t kMixFirst = 0xBF58476D1CE4E5B9, kMixSecond = 0x94D049BB133111EB;

// Philox4x32 (Salmon et al. 2011).
constexpr int kRounds = 10;
constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr std::uint64_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;

llvm::Value* mix64(llvm::IRBuilder<>& builder, llvm::Value* z) {
  const auto fold = [&](llvm::Value* value, std::uint64_t shift) {
    return builder.CreateXor(value, builder.CreateLShr(value, shift));
  };
  z = builder.CreateAdd(z, builder.getInt64(kMixIncrement));
  z = builder.CreateMul(fold(z, 30), builder.getInt64(kMixFirst));
  z = builder.CreateMul(fold(z, 27), builder.getInt64(kMixSecond));
  return fold(z, 31);
}

/// Words are 32 bits in i64 lanes: then a product's two halves are one vector multiplication.
class Philox {
 public:
  Philox(llvm::IRBuilder<>& builder, int width) : builder_(builder), width_(width) {}

  llvm::Value* word(llvm::Value* key, llvm::Value* counter, llvm::Value* step, llvm::Value* number) {
    std::array<llvm::Value*, 4> words = {low(counter), high(counter), low(spread(step)), high(spread(step))};
    std::array<llvm::Value*, 2> keys = {low(key), high(key)};
    // A loop: unrolled, LLVM would take ten times as long, and it runs no slower, as vectors overlap.
    Carried carried = {words[0], words[1], words[2], words[3], keys[0], keys[1]};
    emit_counted_loop(
        builder_, builder_.getInt64(0), builder_.getInt64(kRounds), 1, carried, [&](llvm::Value*) {
          words = mixed({carried[0], carried[1], carried[2], carried[3]}, {carried[4], carried[5]});
          keys = {low(builder_.CreateAdd(carried[4], builder_.getInt64(kWeyl0))),
                  low(builder_.CreateAdd(carried[5], builder_.getInt64(kWeyl1)))};
          carried = {words[0], words[1], words[2], words[3], keys[0], keys[1]};
        });
    std::copy_n(carried.begin(), words.size(), words.begin());
    llvm::Value* is_odd = is_set(number, 1);
    llvm::Value* first = builder_.CreateSelect(is_odd, words[1], words[0]);
    llvm::Value* second = builder_.CreateSelect(is_odd, words[3], words[2]);
    return builder_.CreateSelect(is_set(number, 2), second, first);
  }

 private:
  std::array<llvm::Value*, 4> mixed(const std::array<llvm::Value*, 4>& words,
                                    const std::array<llvm::Value*, 2>& keys) {
    llvm::Value* product0 = builder_.CreateMul(words[0], constant(kMultiplier0));
    llvm::Value* product1 = builder_.CreateMul(words[2], constant(kMultiplier1));
    llvm::Value* left = builder_.CreateXor(builder_.CreateXor(high(product1), words[1]), spread(keys[0]));
    llvm::Value* right = builder_.CreateXor(builder_.CreateXor(high(product0), words[3]), spread(keys[1]));
    return {left, low(product1), right, low(product0)};
  }

  llvm::Value* low(llvm::Value* value) { return builder_.CreateAnd(value, UINT32_MAX); }
  llvm::Value* high(llvm::Value* value) { return builder_.CreateLShr(value, 32); }
  llvm::Value* is_set(llvm::Value* value, std::uint64_t bit) {
    return builder_.CreateICmpNE(builder_.CreateAnd(value, bit), constant(0));
  }
  llvm::Value* constant(std::uint64_t value) { return spread(builder_.getInt64(value)); }
  llvm::Value* spread(llvm::Value* value) {
    return width_ == 1 ? value : builder_.CreateVectorSplat(static_cast<unsigned>(width_), value);
  }

  llvm::IRBuilder<>& builder_;
  int width_;
};

}  // namespace

llvm::Value* emit_random_key(const KernelState& state, llvm::Value* seed, llvm::Value* turns,
                             llvm::Value* stream) {
  llvm::IRBuilder<>& builder = state.builder;
  llvm::Value* of_turns = mix64(builder, turns);
  llvm::Value* of_stream = mix64(builder, builder.CreateXor(stream, of_turns));
  return mix64(builder, builder.CreateXor(seed, of_stream));
}

llvm::Value* emit_random_bits(const KernelState& state, llvm::Value* key, llvm::Value* step,
                              llvm::Value* index) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(index->getType());
  Philox philox(state.builder, vector ? static_cast<int>(vector->getNumElements()) : 1);
  return philox.word(key, state.builder.CreateLShr(index, 2), step, index);
}

}  // namespace mlpc::codegen
