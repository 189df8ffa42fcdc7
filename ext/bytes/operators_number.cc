#include <cstdint>

#include "bytes/ascii.h"
#include "bytes/operators.h"

int64_t rl_op_long(rl_view text) {
  uint32_t i = 0;
  while (i < text.size && rl::is_space(text.data[i])) ++i;
  bool negative = i < text.size && text.data[i] == '-';
  if (negative || (i < text.size && text.data[i] == '+')) ++i;
  int64_t number = 0;  // counted downwards, where there is one more
  for (; i < text.size && rl::is_digit(text.data[i]); ++i) {
    int64_t digit = text.data[i] - '0';
    if (__builtin_mul_overflow(number, 10, &number) || __builtin_sub_overflow(number, digit, &number)) {
      return negative ? INT64_MIN : INT64_MAX;
    }
  }
  if (negative) return number;
  return number == INT64_MIN ? INT64_MAX : -number;
}

int32_t rl_op_int(rl_view text) {
  int64_t number = rl_op_long(text);
  return number < INT32_MIN || number > INT32_MAX ? 0 : static_cast<int32_t>(number);
}
