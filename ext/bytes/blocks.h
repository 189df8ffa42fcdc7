// Sixteen bytes at a time. GCC's vector types: SSE on x86-64, NEON on arm64, without a line for either. Clang, which
// the fuzzers need, has no shuffle by a variable.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "core/view.h"

namespace rl {

using Block = uint8_t __attribute__((vector_size(16)));

static_assert(std::endian::native == std::endian::little, "first_set() reads the lowest byte first");

inline Block load_block(const char *at) {
  Block block;
  std::memcpy(&block, at, sizeof block);
  return block;
}

inline void store_block(char *to, Block block) { std::memcpy(to, &block, sizeof block); }

// 1 to 15 bytes as a block of these bytes alone, some of them twice; and back.
inline Block load_short(const char *at, uint32_t size) {
  uint64_t halves[2];
  if (size >= 8) {
    std::memcpy(&halves[0], at, 8);
    std::memcpy(&halves[1], at + size - 8, 8);
  } else if (size >= 4) {
    uint32_t first, last;
    std::memcpy(&first, at, 4);
    std::memcpy(&last, at + size - 4, 4);
    halves[0] = halves[1] = first | uint64_t{last} << 32;
  } else {
    auto byte = [&](uint32_t i) { return uint64_t{static_cast<uint8_t>(at[i])}; };
    uint64_t four = byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16 | byte(0) << 24;
    halves[0] = halves[1] = four | four << 32;
  }
  return std::bit_cast<Block>(halves);
}

inline void store_short(char *to, uint32_t size, Block block) {
  uint64_t halves[2];
  std::memcpy(halves, &block, sizeof block);
  if (size >= 8) {
    std::memcpy(to, &halves[0], 8);
    std::memcpy(to + size - 8, &halves[1], 8);
  } else if (size >= 4) {
    auto first = static_cast<uint32_t>(halves[0]), last = static_cast<uint32_t>(halves[0] >> 32);
    std::memcpy(to, &first, 4);
    std::memcpy(to + size - 4, &last, 4);
  } else {
    to[0] = static_cast<char>(halves[0]);
    to[size / 2] = static_cast<char>(halves[0] >> 8);
    to[size - 1] = static_cast<char>(halves[0] >> 16);
  }
}

// table[index[i]] for every i; indices below 16.
inline Block look_up(Block table, Block index) {
#ifdef __clang__
  Block found;
  for (int i = 0; i < 16; ++i) found[i] = table[index[i]];
  return found;
#else
  return __builtin_shuffle(table, index);
#endif
}

// Comparisons give 0xff or 0 per byte.
inline Block equals(Block block, char c) { return reinterpret_cast<Block>(block == static_cast<uint8_t>(c)); }
inline Block within(Block block, uint8_t low, uint8_t high) {
  return reinterpret_cast<Block>(block - low <= static_cast<uint8_t>(high - low));
}

// Index of the first byte that is not 0; 16 when all are.
inline uint32_t first_set(Block mask) {
  uint64_t halves[2];
  std::memcpy(halves, &mask, sizeof mask);
  if (halves[0]) return static_cast<uint32_t>(std::countr_zero(halves[0])) / 8;
  return halves[1] ? 8 + static_cast<uint32_t>(std::countr_zero(halves[1])) / 8 : 16;
}

// Copies from in.data + at to `to` until a byte for which special(block) is set; how many were copied. Fewer than
// sixteen bytes before the end it may stop early, at a byte that is plain: the caller handles single bytes anyhow. `to`
// must have as much room as in has bytes from `at`.
template <typename Special>
inline uint32_t copy_plain(rl_view in, uint32_t at, char *to, Special special) {
  uint32_t copied = 0;
  while (in.size - at - copied >= sizeof(Block)) {
    Block block = load_block(in.data + at + copied);
    store_block(to + copied, block);
    uint32_t plain = first_set(special(block));
    copied += plain;
    if (plain < sizeof(Block)) break;
  }
  return copied;
}

// Index of the first `first` that `second` follows, from `at`; in.size when there is none.
inline uint32_t find_pair(rl_view in, uint32_t at, char first, char second) {
  while (in.size - at > sizeof(Block)) {
    Block hits = equals(load_block(in.data + at), first) & equals(load_block(in.data + at + 1), second);
    uint32_t hit = first_set(hits);
    if (hit < sizeof(Block)) return at + hit;
    at += sizeof(Block);
  }
  for (; in.size - at > 1; ++at) {
    if (in.data[at] == first && in.data[at + 1] == second) return at;
  }
  return in.size;
}

}  // namespace rl
