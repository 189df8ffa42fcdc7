#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

// A block function for all bytes. The last block overlaps the one before it.
template <typename Map>
uint32_t map_bytes(rl_view in, char *out, Map map) {
  if (in.size == 0) return 0;
  if (in.size < sizeof(Block)) {
    store_short(out, in.size, map(load_short(in.data, in.size)));
    return in.size;
  }
  for (uint32_t i = 0; in.size - i > sizeof(Block); i += sizeof(Block)) {
    store_block(out + i, map(load_block(in.data + i)));
  }
  uint32_t last = in.size - sizeof(Block);
  store_block(out + last, map(load_block(in.data + last)));
  return in.size;
}

// 0x80 where a byte has an odd number of bits, its own highest counted: ModSecurity folds all eight.
Block odd_bits(Block block) {
  block ^= block >> 4;
  block ^= block >> 2;
  block ^= block >> 1;
  return block << 7;
}

}  // namespace

uint32_t lowercase(rl_view in, char *out) {
  return map_bytes(in, out, [](Block block) { return block | (within(block, 'A', 'Z') & 0x20); });
}

uint32_t uppercase(rl_view in, char *out) {
  return map_bytes(in, out, [](Block block) { return block & ~(within(block, 'a', 'z') & 0x20); });
}

uint32_t replace_nulls(rl_view in, char *out) {
  return map_bytes(in, out, [](Block block) { return block | (equals(block, '\0') & ' '); });
}

uint32_t parity_even(rl_view in, char *out) {
  return map_bytes(in, out, [](Block block) { return (block & 0x7f) | odd_bits(block); });
}

uint32_t parity_odd(rl_view in, char *out) {
  return map_bytes(in, out, [](Block block) { return (block & 0x7f) | (odd_bits(block) ^ 0x80); });
}

uint32_t parity_zero(rl_view in, char *out) {
  return map_bytes(in, out, [](Block block) { return block & 0x7f; });
}

}  // namespace rl
