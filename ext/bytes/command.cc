#include "bytes/ascii.h"
#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

bool is_dropped(char c) { return c == '"' || c == '\'' || c == '\\' || c == '^'; }
bool is_separator(char c) { return c == ' ' || c == ',' || c == ';' || c == '\t' || c == '\r' || c == '\n'; }

// Bytes that need a look: all but letters, digits and the like, and a blank between two of them.
Block special(Block block, Block before) {
  Block after_blank = equals(before, ' ');
  Block dropped = equals(block, '"') | equals(block, '\'') | equals(block, '\\') | equals(block, '^');
  Block separator =
      equals(block, ',') | equals(block, ';') | equals(block, '\t') | equals(block, '\r') | equals(block, '\n');
  Block eats_blank = equals(block, '/') | equals(block, '(') | equals(block, ' ');
  return dropped | separator | (eats_blank & after_blank);
}

// Copies and lowers plain bytes from `at`, whose predecessor was copied as it is; how many.
uint32_t copy_words(rl_view in, uint32_t at, char *to) {
  uint32_t copied = 0;
  while (in.size - at - copied >= sizeof(Block)) {
    Block block = load_block(in.data + at + copied);
    store_block(to + copied, block | (within(block, 'A', 'Z') & 0x20));
    uint32_t plain = first_set(special(block, load_block(in.data + at + copied - 1)));
    copied += plain;
    if (plain < sizeof(Block)) break;
  }
  return copied;
}

}  // namespace

// What a shell makes of a command line: no quotes, one blank between words and none before "/" and "(".
uint32_t cmd_line(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size; ++i) {
    char c = in.data[i];
    bool after_blank = size > 0 && out[size - 1] == ' ';
    if (is_dropped(c)) continue;
    if (is_separator(c)) {
      if (!after_blank) out[size++] = ' ';
      continue;
    }
    if (after_blank && (c == '/' || c == '(')) --size;
    out[size++] = to_lower(c);
    uint32_t copied = copy_words(in, i + 1, out + size);
    size += copied;
    i += copied;
  }
  return size;
}

}  // namespace rl
