#include "match/arena.h"

#include <algorithm>
#include <cstdlib>

namespace rl {

struct ArenaChunk {
  ArenaChunk *next;
  size_t size;
  char *bytes() { return reinterpret_cast<char *>(this + 1); }
};

namespace {

constexpr size_t kFirstChunk = 4096;

ArenaChunk *new_chunk(size_t size) {
  auto *chunk = static_cast<ArenaChunk *>(malloc(sizeof(ArenaChunk) + size));
  if (chunk != nullptr) *chunk = {nullptr, size};
  return chunk;
}

}  // namespace

void *arena_take(Arena *arena, size_t size) {
  size = (size + 7) & ~size_t{7};
  while (arena->current != nullptr && arena->current->size - arena->used < size) {
    if (arena->current->next == nullptr) break;
    arena->current = arena->current->next;
    arena->used = 0;
  }
  if (arena->current == nullptr || arena->current->size - arena->used < size) {
    const size_t least = arena->current != nullptr ? arena->current->size * 2 : kFirstChunk;
    ArenaChunk *chunk = new_chunk(std::max(size, least));
    if (chunk == nullptr) return nullptr;
    (arena->current != nullptr ? arena->current->next : arena->first) = chunk;
    arena->current = chunk;
    arena->used = 0;
  }
  char *out = arena->current->bytes() + arena->used;
  arena->used += size;
  return out;
}

void arena_trim(Arena *arena, const void *end) {
  const size_t used = static_cast<size_t>(static_cast<const char *>(end) - arena->current->bytes());
  arena->used = (used + 7) & ~size_t{7};
}

void arena_reset(Arena *arena) {
  arena->current = arena->first;
  arena->used = 0;
}

void arena_free(Arena *arena) {
  for (ArenaChunk *chunk = arena->first; chunk != nullptr;) {
    ArenaChunk *next = chunk->next;
    free(chunk);
    chunk = next;
  }
  *arena = {};
}

}  // namespace rl
