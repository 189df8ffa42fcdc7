// A lock that is held for tens of nanoseconds and stands on a cache line of its own.
#pragma once
#include <sched.h>

#include <cstdint>

typedef struct alignas(64) rl_spin {
  uint32_t held;
} rl_spin;

namespace rl {

inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Reads until it looks free, then tries (test and test-and-set). Yields after a while: the holder may have lost its
// core.
inline void spin_lock(rl_spin *lock) {
  while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) != 0) {
    for (uint32_t turn = 0; __atomic_load_n(&lock->held, __ATOMIC_RELAXED) != 0; ++turn) {
      if (turn < 128) {
        spin_pause();
      } else {
        sched_yield();
      }
    }
  }
}

inline void spin_unlock(rl_spin *lock) { __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE); }

}  // namespace rl
