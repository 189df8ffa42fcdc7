// Memory for nghttp2 on one thread: free lists by size, so that steady state does not call malloc. Not shared between
// threads.
#pragma once
#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

namespace rl {

class Pool {
 public:
  Pool();
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;
  ~Pool();

  void *allocate(size_t size);
  void release(void *block);
  void *resize(void *block, size_t size);

  // For nghttp2_session_server_new3. Lives as long as the pool.
  nghttp2_mem *mem() { return &mem_; }
  // Bytes that lie in free lists: at most kMaxIdle.
  size_t idle() const { return idle_; }
  // Gives idle memory beyond `keep` back, but no more than about `most` bytes: it takes time.
  void shrink(size_t keep, size_t most);

 private:
  // Blocks of 16, 32, ... 1,024 bytes, then of 2, 4, ... 64 KiB; larger ones are malloc's.
  static constexpr uint32_t kFine = 64, kCoarse = 6, kClasses = kFine + kCoarse, kHuge = kClasses;
  static constexpr size_t kStep = 16, kMaxIdle = 32 << 20;

  // In front of every block; keeps the block aligned for any type.
  struct alignas(16) Header {
    uint64_t size;  // usable bytes
    uint32_t size_class;
  };
  struct Free {
    Free *next;
  };

  static uint32_t class_of(size_t size);
  static size_t size_of(uint32_t size_class);

  nghttp2_mem mem_;
  Free *free_[kClasses] = {};
  size_t idle_ = 0;
};

}  // namespace rl
