// How much a peer may annoy us: a token bucket for frames that cost us work and the peer nothing.
#pragma once
#include <algorithm>
#include <cstdint>

namespace rl {

class Budget {
 public:
  // burst: tokens at the start and at most. rate: tokens per second.
  Budget(int32_t burst, int32_t rate) : tokens_(burst), burst_(burst), rate_(rate) {}

  // False when the peer has no tokens left.
  bool spend(int32_t n = 1) { return (tokens_ -= n) >= 0; }
  // Useful work earns tokens.
  void earn(int32_t n) { tokens_ = std::min(tokens_ + n, burst_); }
  void refill(int64_t now_ns) {
    constexpr int64_t kSecond = 1'000'000'000;
    if (tokens_ >= burst_ || filled_ns_ == 0) {
      filled_ns_ = now_ns;
      return;
    }
    const int64_t elapsed = std::min(now_ns - filled_ns_, 3600 * kSecond);
    const int64_t tokens = elapsed * rate_ / kSecond;
    if (tokens <= 0) return;
    filled_ns_ = now_ns;
    earn(static_cast<int32_t>(std::min<int64_t>(tokens, burst_)));
  }

 private:
  int32_t tokens_, burst_, rate_;
  int64_t filled_ns_ = 0;
};

}  // namespace rl
