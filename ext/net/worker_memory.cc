// Worker: what connections make it hold, and how the memory goes back when they no longer do.
#include <algorithm>

#include "net/clock.h"
#include "net/worker.h"

namespace rl {
namespace {

// Free memory that a worker keeps for the calls to come: more than a turn of one connection needs.
enum : size_t { kKept = 6 << 20, kTidyStep = 1 << 20 };
// Worth asking the system to take it back.
enum : size_t { kMuch = 16 << 20 };
constexpr int64_t kCalm = 1000 * kMillisecond, kPause = 20 * kMillisecond;

// How much of a burden: by size, and by how long nothing of it has left. A backlog of this moment is what fast
// connections have, too, and a watcher's call lasts for days: both are small.
uint64_t burden(const Connection &c, int64_t now_ns) {
  const int64_t ms = std::clamp<int64_t>((now_ns - c.held_since_ns) / kMillisecond, 0, 10'000);
  return c.held * (static_cast<uint64_t>(ms) + 100);
}

}  // namespace

void Worker::account(Connection *c) {
  const size_t held = c->session.held() + c->output.size();
  if (held == c->held) return;
  if (held < c->held || c->held == 0) c->held_since_ns = now_ns_;
  held_ += held - c->held;
  c->held = held;
  stats_.held.set(held_);
}

// Hangs up on those who burden us most, until a quarter of the room is free. Every round halves what is the most.
void Worker::relieve() {
  while (held_ > max_held_ - max_held_ / 4) {
    uint64_t most = 0;
    for (const Connection *c = first_; c; c = c->older) most = std::max(most, burden(*c, now_ns_));
    for (Connection *c = first_, *older; c && held_ > max_held_ - max_held_ / 4; c = older) {
      older = c->older;
      if (c->held == 0 || burden(*c, now_ns_) < most / 2) continue;
      c->session.abort(RL_ABUSE_UNREAD);
      write_output(c);
      close(c);
    }
  }
}

// When much more is free than is used, and has been for a while.
void Worker::plan_tidying() {
  const size_t used = held_ + (http1_->buffered + http2_->buffered);
  most_used_ = std::max(most_used_, used);
  const bool over = most_used_ > kMuch && used < most_used_ / 2;
  if (over || http2_->idle() > kKept) tidy_ns_ = now_ns_ + kCalm;
}

// A little at a time: calls go on.
void Worker::tidy() {
  http2_->shrink(kKept / 2, kTidyStep);
  if (http2_->idle() > kKept / 2) {
    tidy_ns_ = now_ns_ + kPause;
    return;
  }
  tidy_ns_ = 0;
  most_used_ = held_ + (http1_->buffered + http2_->buffered);
  const uint64_t one = 1;
  if (::write(state_->untidy, &one, sizeof one) < 0) return;  // full: it has been asked
}

int Worker::sleep_ms() const {
  const int timers = timers_.sleep_ms(now_ns_);
  if (tidy_ns_ == 0) return timers;
  const int tidying = static_cast<int>(std::max<int64_t>(tidy_ns_ - now_ns_, 0) / kMillisecond) + 1;
  return timers < 0 ? tidying : std::min(timers, tidying);
}

}  // namespace rl
