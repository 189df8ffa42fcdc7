#include "wire/pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

namespace rl {

Pool::Pool() {
  mem_.mem_user_data = this;
  mem_.malloc = [](size_t size, void *self) { return static_cast<Pool *>(self)->allocate(size); };
  mem_.free = [](void *block, void *self) { static_cast<Pool *>(self)->release(block); };
  mem_.calloc = [](size_t count, size_t size, void *self) -> void * {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return nullptr;
    void *block = static_cast<Pool *>(self)->allocate(total);
    return block ? std::memset(block, 0, total) : nullptr;
  };
  mem_.realloc = [](void *block, size_t size, void *self) { return static_cast<Pool *>(self)->resize(block, size); };
}

Pool::~Pool() {
  for (Free *&list : free_) {
    while (list) {
      Free *block = list;
      list = block->next;
      std::free(reinterpret_cast<Header *>(block) - 1);
    }
  }
}

uint32_t Pool::class_of(size_t size) {
  if (size <= kFine * kStep) return size ? static_cast<uint32_t>((size - 1) / kStep) : 0;
  const auto coarse = static_cast<uint32_t>(std::bit_width(size - 1)) - 11;  // 1,025..2,048: 0
  return coarse < kCoarse ? kFine + coarse : kHuge;
}

size_t Pool::size_of(uint32_t size_class) {
  return size_class < kFine ? (size_class + 1) * kStep : size_t{2048} << (size_class - kFine);
}

void *Pool::allocate(size_t size) {
  const uint32_t size_class = class_of(size);
  if (size_class < kHuge) {
    size = size_of(size_class);
    if (Free *block = free_[size_class]) {
      free_[size_class] = block->next;
      idle_ -= size;
      return block;
    }
  }
  if (size > SIZE_MAX - sizeof(Header)) return nullptr;
  auto *header = static_cast<Header *>(std::malloc(sizeof(Header) + size));
  if (!header) return nullptr;
  header->size = size;
  header->size_class = size_class;
  return header + 1;
}

void Pool::release(void *block) {
  if (!block) return;
  Header *header = static_cast<Header *>(block) - 1;
  if (header->size_class >= kHuge || idle_ + header->size > kMaxIdle) {
    std::free(header);
    return;
  }
  auto *free = static_cast<Free *>(block);
  free->next = free_[header->size_class];
  free_[header->size_class] = free;
  idle_ += header->size;
}

void Pool::shrink(size_t keep, size_t most) {
  const size_t until = std::max(keep, idle_ - std::min(idle_, most));
  for (uint32_t size_class = kClasses; size_class-- > 0;) {
    while (Free *block = free_[size_class]) {
      if (idle_ <= until) return;
      free_[size_class] = block->next;
      idle_ -= size_of(size_class);
      std::free(reinterpret_cast<Header *>(block) - 1);
    }
  }
}

void *Pool::resize(void *block, size_t size) {
  if (!block) return allocate(size);
  const Header *header = static_cast<Header *>(block) - 1;
  if (size <= header->size) return block;
  void *larger = allocate(size);
  if (!larger) return nullptr;
  std::memcpy(larger, block, header->size);
  release(block);
  return larger;
}

}  // namespace rl
