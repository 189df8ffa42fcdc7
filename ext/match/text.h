// Comparing and hashing bytes, as they are or with ASCII letters folded to lower case.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "bytes/ascii.h"
#include "core/view.h"

namespace rl {

inline rl_view view_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }
inline std::string_view text_of(rl_view view) {
  return view.size ? std::string_view(view.data, view.size) : std::string_view();
}

inline bool same(const char *a, const char *b, size_t size, bool folded) {
  if (!folded) return size == 0 || memcmp(a, b, size) == 0;
  for (size_t i = 0; i < size; i++) {
    if (to_lower(a[i]) != to_lower(b[i])) return false;
  }
  return true;
}

inline bool same(rl_view a, rl_view b) { return a.size == b.size && same(a.data, b.data, a.size, false); }

inline std::string folded(rl_view view) {
  std::string text(text_of(view));
  for (char &byte : text) byte = to_lower(byte);
  return text;
}

// Multiply and fold the 128-bit product: the mixing step of wyhash (Wang Yi, 2019).
inline uint64_t mix_words(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t load_8(const char *data) {
  uint64_t word;
  memcpy(&word, data, sizeof word);
  return word;
}

inline uint64_t load_4(const char *data) {
  uint32_t word;
  memcpy(&word, data, sizeof word);
  return word;
}

// Fewer than eight bytes; two texts of one size give one word only when they are the same.
inline uint64_t load_tail(const char *data, size_t size) {
  if (size >= 4) return load_4(data) | load_4(data + size - 4) << 32;
  if (size == 0) return 0;
  const auto byte = [&](size_t at) { return uint64_t{static_cast<uint8_t>(data[at])}; };
  return byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16;
}

// Folds the ASCII letters of eight bytes at once: the high bit of a byte tells whether it lies in A..Z.
inline uint64_t to_lower_word(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101u;
  const uint64_t low = word & 0x7f * kOnes;
  const uint64_t letters = ((low + (0x80 - 'A') * kOnes) ^ (low + (0x7f - 'Z') * kOnes)) & ~word & 0x80 * kOnes;
  return word | letters >> 2;
}

// A seed that a caller cannot know makes collisions hard to craft.
inline uint64_t hash_bytes(rl_view text, uint64_t seed, bool folded = false) {
  const uint64_t key = 0xa0761d6478bd642fu ^ seed;
  uint64_t hash = seed ^ text.size;
  size_t at = 0;
  for (; text.size - at >= 8; at += 8) {
    const uint64_t word = load_8(text.data + at);
    hash = mix_words(hash ^ (folded ? to_lower_word(word) : word), key);
  }
  const uint64_t tail = load_tail(text.data + at, text.size - at);
  return mix_words(hash ^ (folded ? to_lower_word(tail) : tail) ^ 0xe7037ed1a0b428dbu, key);
}

}  // namespace rl
