// SipHash-C-D with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, and the 128-bit
// variant of the authors' reference). A header so that the rounds are known at compile time: the data plane uses 1-3,
// the published vectors test 2-4.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace rl {

struct SipState {
  uint64_t v0, v1, v2, v3;

  template <int Count>
  inline void rounds() {
#pragma GCC unroll 4
    for (int i = 0; i < Count; ++i) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  }
};

inline uint64_t load_le64(const unsigned char *data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

// The last size % 8 bytes of all size, little-endian, without reading past the end (or before the start).
inline uint64_t load_tail(const unsigned char *data, size_t size) {
  const size_t rest = size & 7;
  if (rest == 0) return 0;
  if (size >= 8) return load_le64(data + size - 8) >> (64 - 8 * rest);
  uint64_t word = 0;
  for (size_t at = 0; at < rest; ++at) word |= uint64_t{data[at]} << (8 * at);
  return word;
}

template <int Compress, int Finish>
inline void siphash128(uint64_t k0, uint64_t k1, const void *input, size_t size, uint64_t *lo, uint64_t *hi) {
  const auto *data = static_cast<const unsigned char *>(input);
  SipState state{0x736f6d6570736575 ^ k0, 0x646f72616e646f6d ^ k1 ^ 0xee, 0x6c7967656e657261 ^ k0,
                 0x7465646279746573 ^ k1};
  const auto absorb = [&state](uint64_t word) {
    state.v3 ^= word;
    state.rounds<Compress>();
    state.v0 ^= word;
  };
  const unsigned char *end = data + (size & ~size_t{7});
  for (const unsigned char *at = data; at != end; at += 8) absorb(load_le64(at));
  absorb((uint64_t{size} << 56) | load_tail(data, size));
  state.v2 ^= 0xee;
  state.rounds<Finish>();
  *lo = state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
  state.v1 ^= 0xdd;
  state.rounds<Finish>();
  *hi = state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace rl
