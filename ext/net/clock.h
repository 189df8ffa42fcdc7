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

}  // namespace rl
