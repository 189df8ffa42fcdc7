// Bytes for one request: handed out front to back, forgotten all at once. Chunks are kept, so a steady load allocates
// nothing, and never move, so views into them stay valid until reset.
#pragma once
#include <cstddef>

namespace rl {

struct ArenaChunk;

struct Arena {
  ArenaChunk *first = nullptr;
  ArenaChunk *current = nullptr;
  size_t used = 0;  // of current
};

// Room for size bytes, aligned to 8; nullptr when out of memory.
void *arena_take(Arena *arena, size_t size);
// Gives back what the last take did not need: its end is now at end.
void arena_trim(Arena *arena, const void *end);
void arena_reset(Arena *arena);
void arena_free(Arena *arena);

}  // namespace rl
