// SecLang's operators: a parameter and a text.
#include "bytes/operators.h"

#include <algorithm>
#include <string_view>

#include "bytes/address.h"
#include "fuzz.h"

using fuzz::Block;

namespace {

std::string_view text_of(rl_view view) { return {view.data, view.size}; }

void read_bytes(rl_view param, rl_view text) {
  rl_byte_set set = {};
  rl_byte_set_parse(param, &set);
  const bool outside = rl_op_outside(text, &set);
  bool any = false;
  for (uint32_t i = 0; i < text.size; ++i) any |= rl_op_outside({text.data + i, 1}, &set) != 0;
  MUST(outside == any);
}

void read_ranges(rl_view param, rl_view text) {
  rl_ip_range ranges[64];
  uint32_t cursor = 0, count = 0;
  int found;
  while (count < 64 && (found = rl_ip_range_next(param, &cursor, &ranges[count])) != 0) {
    MUST(cursor <= param.size + 1);
    if (found > 0) ++count;
  }
  rl_op_ip_match(text, ranges, count);
}

void read_address(rl_view text) {
  rl_address address, again;
  if (!rl_address_parse(text, &address)) return;
  char written[46];
  const uint32_t size = rl_address_format(&address, written);
  MUST(size <= sizeof written);
  MUST(rl_address_parse({written, size}, &again) && std::memcmp(&address, &again, sizeof address) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz::Input input(data, size);
  const Block first = input.piece(), second = input.rest();
  const rl_view param = first.view(), text = second.view();
  const bool contains = text_of(text).find(text_of(param)) != std::string_view::npos;
  MUST(rl_op_contains(text, param) == contains);
  MUST(!rl_op_begins_with(text, param) || contains);
  MUST(!rl_op_ends_with(text, param) || contains);
  MUST(!rl_op_contains_word(text, param) || contains);
  MUST(rl_op_streq(text, param) == (text_of(text) == text_of(param)));
  rl_op_within(text, param);
  rl_op_int(text);
  rl_op_long(text);
  rl_op_bad_url_encoding(text);
  rl_op_bad_utf8(text);
  read_bytes(param, text);
  read_ranges(param, text);
  read_address(text);
  rl_is_card(text);
  rl_is_cpf(text);
  rl_is_ssn(text);
  rl_is_svnr(text);
  return 0;
}
