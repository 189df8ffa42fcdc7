// Address space reserved in one piece and touched lazily, so that a big table costs only what it uses.
#pragma once
#include <sys/mman.h>

#include <cstddef>

namespace rl {

enum : size_t { kHugeFrom = size_t{64} << 20 };  // below, huge pages would waste more than they save

// Zeroed memory, or nullptr.
inline void *memory_reserve(size_t bytes) {
  void *start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  if (bytes >= kHugeFrom) madvise(start, bytes, MADV_HUGEPAGE);
#endif
  return start;
}

inline void memory_release(void *start, size_t bytes) { munmap(start, bytes); }

}  // namespace rl
