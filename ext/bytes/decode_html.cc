#include <cstring>
#include <iterator>

#include "bytes/ascii.h"
#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

struct Entity {
  const char *name;
  char value;
};

constexpr Entity kEntities[] = {{"quot", '"'}, {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"nbsp", '\xa0'}};

bool starts_ignoring_case(const char *text, uint32_t size, const char *name) {
  if (std::strlen(name) > size) return false;
  for (uint32_t i = 0; name[i]; ++i) {
    if (to_lower(text[i]) != name[i]) return false;
  }
  return true;
}

// Digits of a base from `at`; the low byte of what strtol() reads, which stops at LONG_MAX. Returns how many digits.
uint32_t read_number(const char *at, uint32_t left, int base, char *value) {
  constexpr uint64_t kMost = INT64_MAX;
  uint64_t number = 0;
  uint32_t digits = 0;
  for (; digits < left; ++digits) {
    int digit = hex_value(at[digits]);
    if (digit < 0 || digit >= base) break;
    uint64_t step = static_cast<uint64_t>(digit), scale = static_cast<uint64_t>(base);
    number = number > (kMost - step) / scale ? kMost : number * scale + step;
  }
  *value = static_cast<char>(number);
  return digits;
}

// An entity at "&": how many bytes it takes (without ";") and its value. 0: none here, *literal bytes are copied as
// they are.
uint32_t read_entity(const char *at, uint32_t left, char *value, uint32_t *literal) {
  *literal = 1;
  if (left < 2) return 0;
  if (at[1] == '#') {
    bool hex = left > 2 && (at[2] | 32) == 'x';
    uint32_t prefix = hex ? 3 : 2;
    *literal = prefix;
    uint32_t digits = read_number(at + prefix, left - prefix, hex ? 16 : 10, value);
    return digits ? prefix + digits : 0;
  }
  uint32_t letters = 0;
  while (letters + 1 < left && is_alnum(at[letters + 1])) ++letters;
  for (const Entity &entity : kEntities) {
    if (!starts_ignoring_case(at + 1, letters, entity.name)) continue;  // "&ltx" is "<": letters behind it are lost
    *value = entity.value;
    return letters + 1;
  }
  *literal = letters + 1;
  return 0;
}

}  // namespace

uint32_t html_entity_decode(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size;) {
    uint32_t copied = copy_plain(in, i, out + size, [](Block block) { return equals(block, '&'); });
    size += copied;
    i += copied;
    if (i == in.size) break;
    if (in.data[i] != '&') {
      out[size++] = in.data[i++];
      continue;
    }
    uint32_t literal;
    char value;
    if (uint32_t length = read_entity(in.data + i, in.size - i, &value, &literal)) {
      out[size++] = value;
      i += length;
      if (i < in.size && in.data[i] == ';') ++i;
    } else {
      std::memcpy(out + size, in.data + i, literal);
      size += literal;
      i += literal;
    }
  }
  return size;
}

}  // namespace rl
