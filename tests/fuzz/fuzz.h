// What every fuzz target needs: its input in pieces, each in a block of exactly its size, so that a sanitizer sees
// every byte read beyond it; memory of an exact size to write to; and a check that stays in every build.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/view.h"

#define MUST(condition)                                                          \
  do {                                                                           \
    if (!(condition)) {                                                          \
      std::fprintf(stderr, "%s:%d: must: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                              \
    }                                                                            \
  } while (0)

namespace fuzz {

// Bytes on the heap, so many and no more.
struct Block {
  explicit Block(size_t n) : size(n), data(new char[n ? n : 1]) {}
  Block(const void *from, size_t n) : Block(n) {
    if (n) std::memcpy(data.get(), from, n);
  }
  rl_view view() const { return {data.get(), static_cast<uint32_t>(size)}; }
  // Does a view lie in here?
  bool holds(rl_view part) const {
    return part.size == 0 || (part.data >= data.get() && part.data + part.size <= data.get() + size);
  }

  size_t size;
  std::unique_ptr<char[]> data;
};

// Takes an input apart from its front.
class Input {
 public:
  Input(const uint8_t *data, size_t size) : at_(data), end_(data + size) {}

  uint8_t byte() { return at_ == end_ ? 0 : *at_++; }
  // A number below n.
  uint32_t below(uint32_t n) { return byte() % n; }
  // What stands before the next 0xff, which is taken too; else all.
  Block piece() {
    const uint8_t *stop = static_cast<const uint8_t *>(std::memchr(at_, 0xff, static_cast<size_t>(end_ - at_)));
    Block found(at_, static_cast<size_t>((stop ? stop : end_) - at_));
    at_ = stop ? stop + 1 : end_;
    return found;
  }
  Block rest() {
    Block found(at_, static_cast<size_t>(end_ - at_));
    at_ = end_;
    return found;
  }

 private:
  const uint8_t *at_, *end_;
};

inline bool same(rl_view a, rl_view b) {
  return a.size == b.size && (a.size == 0 || std::memcmp(a.data, b.data, a.size) == 0);
}

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
