// The two clocks, in nanoseconds: the wall clock that limits count by, and one that never steps for everything else.
#pragma once
#include <time.h>

#include <cstdint>

namespace rl {

inline int64_t read_clock(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

inline int64_t wall_ns() { return read_clock(CLOCK_REALTIME); }
inline int64_t monotonic_ns() { return read_clock(CLOCK_MONOTONIC); }

constexpr int64_t kMillisecond = 1'000'000;

// How late it is within a turn, looked at before every check and read only now and then: after some checks, or sooner
// when their messages are large, since those take longer.
class TurnClock {
 public:
  void set(int64_t now_ns) {
    now_ns_ = now_ns;
    spent_ = 0;
  }
  int64_t look(uint32_t message_size) {
    spent_ += kPerCheck + message_size;
    if (spent_ >= kSpan) [[unlikely]]
      set(monotonic_ns());
    return now_ns_;
  }

 private:
  enum : uint64_t { kPerCheck = 1024, kSpan = 8 * kPerCheck };

  int64_t now_ns_ = 0;
  uint64_t spent_ = 0;
};

}  // namespace rl
