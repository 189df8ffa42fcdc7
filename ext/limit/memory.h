// Address space reserved in one piece, and touched lazily unless it is committed.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
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

// Touches every page, so that no later access waits for one: a huge page is zeroed in a millisecond, and a new table
// would meet hundreds in its first second. false when there is not as much memory.
inline bool memory_commit(void *start, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(start, bytes, MADV_POPULATE_WRITE) == 0) return true;
  if (errno != EINVAL) return false;  // EINVAL: Linux before 5.14
#endif
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (size_t at = 0; at < bytes; at += page) {
    volatile char *byte = static_cast<volatile char *>(start) + at;
    *byte = *byte;
  }
  return true;
}

inline void memory_release(void *start, size_t bytes) { munmap(start, bytes); }

}  // namespace rl
