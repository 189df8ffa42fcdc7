// A fast hash to find equal texts with: equality must still be checked, and nobody may rely on collisions being rare
// under attack. The multiply-and-fold step is wyhash's (Wang Yi).
#pragma once
#include <string.h>

#include "core/view.h"

static inline uint64_t rl_hash_fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)(a ^ 0xa0761d6478bd642full) * (b ^ 0xe7037ed1a0b428dbull);
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t rl_hash(rl_view text) {
  uint64_t hash = text.size, words[2];
  uint32_t i = 0;
  for (; text.size - i >= 16; i += 16) {
    memcpy(words, text.data + i, 16);
    hash = rl_hash_fold(hash ^ words[0], words[1]);
  }
  words[0] = words[1] = 0;
  if (i < text.size) memcpy(words, text.data + i, text.size - i);
  return rl_hash_fold(hash ^ words[0], words[1]);
}
