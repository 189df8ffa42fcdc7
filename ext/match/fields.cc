#include "match/fields.h"

#include <cstring>

#include "bytes/query.h"
#include "match/text.h"

namespace rl {
namespace {

constexpr uint32_t kWalked = 16;  // up to so many pairs a walk is faster than a table
constexpr rl_view kCookie = {"cookie", 6};

// Names of hostile requests are chosen to collide if they can be: the seed is secret, and a repeated name keeps its
// first value.
void add_slots(Arena *arena, Fields *fields) {
  uint32_t size = 2 * kWalked;
  while (size < 2 * fields->count) size *= 2;
  auto *slots = static_cast<uint32_t *>(arena_take(arena, size * sizeof(uint32_t)));
  if (slots == nullptr) return;
  memset(slots, 0, size * sizeof(uint32_t));
  for (uint32_t i = 0; i < fields->count; i++) {
    uint32_t at = static_cast<uint32_t>(hash_bytes(fields->pairs[i].name, fields->seed)) & (size - 1);
    while (slots[at] != 0 && !same(fields->pairs[slots[at] - 1].name, fields->pairs[i].name))
      at = (at + 1) & (size - 1);
    if (slots[at] == 0) slots[at] = i + 1;
  }
  fields->slots = slots;
  fields->mask = size - 1;
}

Fields finish(Arena *arena, const rl_pair *pairs, uint32_t count, uint64_t seed) {
  Fields fields = {pairs, count, 0, nullptr, seed};
  if (count > kWalked) add_slots(arena, &fields);
  return fields;
}

rl_view decode(rl_view raw, char **out) {
  const rl_view decoded = {*out, rl_url_decode(raw, *out)};
  *out += decoded.size;
  return decoded;
}

}  // namespace

Fields fields_of_query(Arena *arena, rl_view query, uint64_t seed) {
  rl_pair pair;
  uint32_t count = 0;
  for (uint32_t cursor = 0; rl_query_next(query, &cursor, &pair);) count++;
  if (count == 0) return finish(arena, nullptr, 0, seed);
  auto *pairs = static_cast<rl_pair *>(arena_take(arena, count * sizeof(rl_pair)));
  auto *text = static_cast<char *>(arena_take(arena, query.size));
  if (pairs == nullptr || text == nullptr) return finish(arena, nullptr, 0, seed);
  uint32_t filled = 0;
  for (uint32_t cursor = 0; filled < count && rl_query_next(query, &cursor, &pair); filled++) {
    const rl_view name = decode(pair.name, &text);
    pairs[filled] = {name, decode(pair.value, &text)};
  }
  return finish(arena, pairs, filled, seed);
}

Fields fields_of_cookies(Arena *arena, const rl_request *request, uint64_t seed) {
  rl_pair pair;
  uint32_t count = 0;
  for (uint32_t i = 0; i < request->header_count; i++) {
    if (!same(request->headers[i].name, kCookie)) continue;
    for (uint32_t cursor = 0; rl_cookie_next(request->headers[i].value, &cursor, &pair);) count++;
  }
  if (count == 0) return finish(arena, nullptr, 0, seed);
  auto *pairs = static_cast<rl_pair *>(arena_take(arena, count * sizeof(rl_pair)));
  if (pairs == nullptr) return finish(arena, nullptr, 0, seed);
  uint32_t filled = 0;
  for (uint32_t i = 0; i < request->header_count; i++) {
    if (!same(request->headers[i].name, kCookie)) continue;
    for (uint32_t cursor = 0; rl_cookie_next(request->headers[i].value, &cursor, &pair);) pairs[filled++] = pair;
  }
  return finish(arena, pairs, filled, seed);
}

int fields_find(const Fields *fields, rl_view name, rl_view *out) {
  if (fields->slots == nullptr) {
    for (uint32_t i = 0; i < fields->count; i++) {
      if (!same(fields->pairs[i].name, name)) continue;
      *out = fields->pairs[i].value;
      return 1;
    }
    return 0;
  }
  for (uint32_t at = static_cast<uint32_t>(hash_bytes(name, fields->seed)) & fields->mask;;
       at = (at + 1) & fields->mask) {
    const uint32_t index = fields->slots[at];
    if (index == 0) return 0;
    if (!same(fields->pairs[index - 1].name, name)) continue;
    *out = fields->pairs[index - 1].value;
    return 1;
  }
}

}  // namespace rl
