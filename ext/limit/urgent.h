// What workers and the control plane tell each other about the store's shards: bit sets of 128, and an eventfd that
// wakes who flushes.
#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace rl {

typedef struct rl_shard_set {
  uint64_t words[2];
} rl_shard_set;

inline bool shard_set_has(const rl_shard_set *set, uint32_t shard) {
  return __atomic_load_n(&set->words[shard >> 6], __ATOMIC_RELAXED) >> (shard & 63) & 1;
}

inline void shard_set_add(rl_shard_set *set, uint32_t shard) {
  __atomic_fetch_or(&set->words[shard >> 6], uint64_t{1} << (shard & 63), __ATOMIC_RELAXED);
}

inline void shard_set_put(rl_shard_set *set, uint32_t word, uint64_t bits) {
  __atomic_store_n(&set->words[word], bits, __ATOMIC_RELAXED);
}

inline uint64_t shard_set_take(rl_shard_set *set, uint32_t word) {
  return __atomic_exchange_n(&set->words[word], 0, __ATOMIC_RELAXED);
}

// -1 when there is none to be had.
inline int bell_new() { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

inline void bell_free(int bell) {
  if (bell >= 0) close(bell);
}

// It may ring already, or its counter be full: who waits wakes up either way.
inline void bell_ring(int bell) {
  const uint64_t one = 1;
  if (write(bell, &one, sizeof one) < 0) return;
}

inline void bell_quiet(int bell) {
  uint64_t count;
  if (read(bell, &count, sizeof count) < 0) return;
}

}  // namespace rl
