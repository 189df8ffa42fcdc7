// The classes of bytes that tell which transformations leave a text alone: bits of rl_byte_classes.
#pragma once
#include <cstdint>

namespace rl {

// Each class is a rectangle: some low nibbles of some high nibbles. Bit 8 * t + b is bit b of table t in classes.cc.
enum ByteClass : uint32_t {
  kNull = 1u << 0,
  kControlSpace = 1u << 1,  // the bytes of isspace() but the blank
  kBlank = 1u << 2,         // the blank itself
  kQuote = 1u << 3,         // " and '
  kHash = 1u << 4,
  kPercent = 1u << 5,
  kAmpersand = 1u << 6,
  kPlus = 1u << 7,
  kComma = 1u << 8,
  kDash = 1u << 9,
  kDot = 1u << 10,
  kSlash = 1u << 11,
  kSemicolon = 1u << 12,
  kLess = 1u << 13,
  kBackslash = 1u << 14,
  kCaret = 1u << 15,
  kUpperFirst = 1u << 16,  // A to O
  kUpperLast = 1u << 17,   // P to Z
  kLowerFirst = 1u << 18,  // a to o
  kLowerLast = 1u << 19,   // p to z
  kHigh = 1u << 20,        // 0x80 and above
  kStar = 1u << 21,
  kZero = 1u << 22,     // the digit
  kBracket = 1u << 23,  // [
  kEquals = 1u << 24,
  kAny = 1u << 30,     // every byte
  kAlways = 1u << 31,  // every text, also the empty one
};

}  // namespace rl
