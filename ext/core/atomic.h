// The few atomic operations that the spine needs, as functions that Cython can call.
#pragma once
#include <stdint.h>

static inline void *rl_load_pointer(void **at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
static inline void rl_store_pointer(void **at, void *value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }

// A counter with one writer and any number of readers: no locked instruction.
static inline void rl_count(uint64_t *at, uint64_t n) {
  __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
static inline uint64_t rl_counted(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
static inline void rl_set(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELAXED); }

// The two ends of a single-producer, single-consumer ring.
static inline uint64_t rl_load_acquire(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
static inline void rl_store_release(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
