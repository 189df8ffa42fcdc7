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

// Eight bytes or the last few, zero-padded.
inline uint64_t load_word(const char *data, size_t size) {
  uint64_t word = 0;
  memcpy(&word, data, size < 8 ? size : 8);
  return word;
}

inline uint64_t load_word_folded(const char *data, size_t size) {
  char bytes[8] = {};
  for (size_t i = 0; i < size && i < 8; i++) bytes[i] = to_lower(data[i]);
  return load_word(bytes, 8);
}

// A seed that a caller cannot know makes collisions hard to craft.
inline uint64_t hash_bytes(rl_view text, uint64_t seed, bool folded = false) {
  uint64_t hash = seed ^ 0x9e3779b97f4a7c15u;
  for (size_t at = 0; at < text.size; at += 8) {
    const size_t left = text.size - at;
    const uint64_t word = folded ? load_word_folded(text.data + at, left) : load_word(text.data + at, left);
    hash = mix_words(hash ^ word, 0xa0761d6478bd642fu ^ seed);
  }
  return mix_words(hash ^ text.size, 0xe7037ed1a0b428dbu);
}

}  // namespace rl
