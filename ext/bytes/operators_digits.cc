#include "bytes/ascii.h"
#include "bytes/operators.h"

namespace rl {
namespace {

// The first digits of a match, up to a null byte; how many it has in all.
uint32_t read_digits(rl_view match, int *out, uint32_t most) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < match.size && match.data[i] != '\0'; ++i) {
    if (!is_digit(match.data[i])) continue;
    if (count < most) out[count] = match.data[i] - '0';
    ++count;
  }
  return count;
}

bool repeats(const int *digits, uint32_t count) {
  for (uint32_t i = 1; i < count; ++i) {
    if (digits[i] != digits[0]) return false;
  }
  return true;
}

// Each digit one more than the last; wrapping: 9 goes on with 0.
bool ascends(const int *digits, uint32_t count, bool wrapping) {
  for (uint32_t i = 1; i < count; ++i) {
    int next = digits[i - 1] + 1;
    if (digits[i] != (wrapping ? next % 10 : next)) return false;
  }
  return true;
}

int number(const int *digits, uint32_t count) {
  int value = 0;
  for (uint32_t i = 0; i < count; ++i) value = value * 10 + digits[i];
  return value;
}

// Of a Brazilian CPF: the digits weighted down from `weight` to 2, modulo 11.
int cpf_check(const int *digits, int weight) {
  int sum = 0;
  for (int i = 0; weight - i >= 2; ++i) sum += digits[i] * (weight - i);
  return sum % 11 < 2 ? 0 : 11 - sum % 11;
}

}  // namespace
}  // namespace rl

int rl_is_card(rl_view match) {
  int sum[2] = {0, 0}, digits = 0;
  for (uint32_t i = 0; i < match.size; ++i) {
    if (!rl::is_digit(match.data[i])) continue;
    int digit = match.data[i] - '0', twice = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum[0] = (sum[0] + (digits % 2 ? digit : twice)) % 10;
    sum[1] = (sum[1] + (digits % 2 ? twice : digit)) % 10;
    ++digits;
  }
  return digits > 0 && sum[digits % 2] == 0;
}

int rl_is_cpf(rl_view match) {
  int digits[11];
  if (rl::read_digits(match, digits, 11) < 11 || rl::repeats(digits, 11)) return 0;
  if (digits[0] == 0 && rl::ascends(digits, 11, true)) return 0;
  return digits[9] == rl::cpf_check(digits, 10) && digits[10] == rl::cpf_check(digits, 11);
}

int rl_is_ssn(rl_view match) {
  int digits[9];
  if (rl::read_digits(match, digits, 9) != 9 || rl::repeats(digits, 9) || rl::ascends(digits, 9, false)) return 0;
  int area = rl::number(digits, 3), group = rl::number(digits + 3, 2), serial = rl::number(digits + 5, 4);
  return area > 0 && group > 0 && serial > 0 && area < 740 && area != 666;
}

int rl_is_svnr(rl_view match) {
  static constexpr int kWeights[10] = {3, 7, 9, 0, 5, 8, 4, 2, 1, 6};
  int digits[10], sum = 0;
  if (rl::read_digits(match, digits, 10) < 10 || rl::repeats(digits, 10)) return 0;
  if (digits[0] < 2 && rl::ascends(digits, 10, true)) return 0;
  for (int i = 0; i < 10; ++i) sum += digits[i] * kWeights[i];
  return sum % 11 % 10 == digits[3];
}
