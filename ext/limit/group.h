// Sixteen one-byte tags compared at once: the tag groups of a shard (the layout of Abseil's SwissTable). A mask has bit
// i set when tag i matches.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace rl {

enum { RL_GROUP = 16 };

// tags: 16 bytes, aligned to 16.
inline uint32_t group_match(const uint8_t *tags, uint8_t tag) {
#if defined(__SSE2__)
  const __m128i group = _mm_load_si128(reinterpret_cast<const __m128i *>(tags));
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(group, _mm_set1_epi8(static_cast<char>(tag)))));
#elif defined(__ARM_NEON) && defined(__aarch64__)
  static const uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t hits = vandq_u8(vceqq_u8(vld1q_u8(tags), vdupq_n_u8(tag)), vld1q_u8(kBits));
  return static_cast<uint32_t>(vaddv_u8(vget_low_u8(hits))) | static_cast<uint32_t>(vaddv_u8(vget_high_u8(hits))) << 8;
#else
  uint32_t mask = 0;
  for (int i = 0; i < RL_GROUP; ++i) mask |= static_cast<uint32_t>(tags[i] == tag) << i;
  return mask;
#endif
}

// The lowest set bit of a mask that is not 0.
inline uint32_t mask_first(uint32_t mask) { return static_cast<uint32_t>(std::countr_zero(mask)); }

// The first set bit at or after `start`, around the end of the group.
inline uint32_t mask_first_from(uint32_t mask, uint32_t start) {
  const uint32_t turned = std::rotr(mask | mask << 16, static_cast<int>(start));
  return (mask_first(turned) + start) & (RL_GROUP - 1);
}

inline void prefetch(const void *line) { __builtin_prefetch(line, 1); }

// Refuses at compile time a struct that is not one cache line.
template <typename T>
inline bool is_cache_line(const T *) {
  static_assert(sizeof(T) == 64);
  return true;
}

}  // namespace rl
