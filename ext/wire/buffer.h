// A growable byte buffer: bytes are appended, then taken from the front. Keeps its memory, so that steady state
// allocates nothing.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/view.h"

namespace rl {

class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { std::free(data_); }

  const char *data() const { return data_ + begin_; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  size_t capacity() const { return capacity_; }
  // Out of memory is sticky until clear(): the owner checks it once per turn and drops the connection.
  bool failed() const { return failed_; }

  // Room for n more bytes at the returned place; commit() says how many were used. NULL when out of memory.
  char *reserve(size_t n) {
    if (capacity_ - end_ < n && !grow(n)) return nullptr;
    return data_ + end_;
  }
  void commit(size_t n) { end_ += n; }
  bool append(const void *bytes, size_t n) {
    char *to = reserve(n);
    if (!to) return false;
    if (n) std::memcpy(to, bytes, n);
    end_ += n;
    return true;
  }
  void consume(size_t n) {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void clear() {
    begin_ = end_ = 0;
    failed_ = false;
  }
  // Drops bytes from the end, back to an earlier size().
  void truncate(size_t size) { end_ = begin_ + size; }
  // Gives memory beyond `keep` back; call when idle.
  void shrink(size_t keep) {
    if (empty() && capacity_ > keep) {
      std::free(data_);
      data_ = nullptr;
      begin_ = end_ = capacity_ = 0;
    }
  }

 private:
  // Holds most answers: thousands of streams may each keep one that their peer does not read.
  static constexpr size_t kFirst = 512;

  bool grow(size_t n) {
    size_t used = size();
    if (begin_ > 0 && capacity_ - used >= n && begin_ >= used) {
      std::memmove(data_, data_ + begin_, used);
    } else {
      size_t capacity = capacity_ ? capacity_ * 2 : kFirst;
      while (capacity < used + n) capacity *= 2;
      char *data = static_cast<char *>(std::malloc(capacity));
      if (!data) {
        failed_ = true;
        return false;
      }
      if (used) std::memcpy(data, data_ + begin_, used);
      std::free(data_);
      data_ = data;
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = used;
    return true;
  }

  char *data_ = nullptr;
  size_t begin_ = 0, end_ = 0, capacity_ = 0;
  bool failed_ = false;
};

}  // namespace rl
