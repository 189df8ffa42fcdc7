#include "bytes/classes.h"

#include <array>

#include "bytes/blocks.h"
#include "bytes/transform.h"

namespace rl {
namespace {

struct Rectangle {
  ByteClass bit;
  uint16_t high;  // bit n: high nibble n
  uint16_t low;
};

constexpr uint16_t nibbles(int from, int to) { return static_cast<uint16_t>((2u << to) - (1u << from)); }
constexpr uint16_t nibble(int n) { return nibbles(n, n); }

constexpr Rectangle kRectangles[] = {
    {kNull, nibble(0), nibble(0)},
    {kControlSpace, nibble(0), nibbles(9, 13)},
    {kBlank, nibble(2), nibble(0)},
    {kQuote, nibble(2), nibble(2) | nibble(7)},
    {kHash, nibble(2), nibble(3)},
    {kPercent, nibble(2), nibble(5)},
    {kAmpersand, nibble(2), nibble(6)},
    {kPlus, nibble(2), nibble(11)},
    {kComma, nibble(2), nibble(12)},
    {kDash, nibble(2), nibble(13)},
    {kDot, nibble(2), nibble(14)},
    {kSlash, nibble(2), nibble(15)},
    {kSemicolon, nibble(3), nibble(11)},
    {kLess, nibble(3), nibble(12)},
    {kBackslash, nibble(5), nibble(12)},
    {kCaret, nibble(5), nibble(14)},
    {kUpperFirst, nibble(4), nibbles(1, 15)},
    {kUpperLast, nibble(5), nibbles(0, 10)},
    {kLowerFirst, nibble(6), nibbles(1, 15)},
    {kLowerLast, nibble(7), nibbles(0, 10)},
    {kHigh, nibbles(8, 15), nibbles(0, 15)},
    {kStar, nibble(2), nibble(10)},
    {kZero, nibble(3), nibble(0)},
    {kBracket, nibble(5), nibble(11)},
    {kEquals, nibble(3), nibble(13)},
};
constexpr int kTables = 4;

// Eight classes in one byte per nibble: a byte has those that both its nibbles have.
struct Table {
  alignas(Block) uint8_t high[16], low[16];
};

constexpr Table make_table(int number) {
  Table table = {};
  for (const Rectangle &rectangle : kRectangles) {
    for (int n = 0; n < 16; ++n) {
      auto bits = static_cast<uint8_t>(rectangle.bit >> (8 * number));
      if (rectangle.high >> n & 1) table.high[n] |= bits;
      if (rectangle.low >> n & 1) table.low[n] |= bits;
    }
  }
  return table;
}

constexpr Table kNibbles[kTables] = {make_table(0), make_table(1), make_table(2), make_table(3)};

inline Block row_of(const uint8_t *table, Block nibbles) {
  return look_up(load_block(reinterpret_cast<const char *>(table)), nibbles);
}

inline void add_block(Block block, Block seen[kTables]) {
  Block low = block & 15, high = block >> 4;
  for (int t = 0; t < kTables; ++t) {
    seen[t] |= row_of(kNibbles[t].high, high) & row_of(kNibbles[t].low, low);
  }
}

inline uint32_t any_bits(Block seen) {
  uint64_t halves[2];
  std::memcpy(halves, &seen, sizeof seen);
  uint64_t bits = halves[0] | halves[1];
  bits |= bits >> 32;
  bits |= bits >> 16;
  return static_cast<uint32_t>((bits | bits >> 8) & 0xff);
}

}  // namespace
}  // namespace rl

uint32_t rl_byte_classes(rl_view text) {
  using namespace rl;
  if (text.size == 0) return kAlways;
  Block seen[kTables] = {};
  if (text.size < sizeof(Block)) {
    add_block(load_short(text.data, text.size), seen);
  } else {
    for (uint32_t i = 0; text.size - i > sizeof(Block); i += sizeof(Block)) add_block(load_block(text.data + i), seen);
    add_block(load_block(text.data + text.size - sizeof(Block)), seen);
  }
  uint32_t classes = kAlways | kAny;
  for (int t = 0; t < kTables; ++t) classes |= any_bits(seen[t]) << (8 * t);
  return classes;
}
