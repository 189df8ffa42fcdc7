#include "wire/rls_draft.h"

#include <cstdarg>
#include <cstdio>
#include <iterator>

#include "wire/text.h"

namespace rl {
namespace {

constexpr std::string_view kPrefix = "descriptor.";
// "descriptor." and "#32"; and the "|" behind a key.
enum : size_t { kNameRoom = 16 };

// 0: none that we count.
uint64_t window_of_unit(uint64_t unit) {
  constexpr uint64_t kDay = 86'400'000;
  constexpr uint64_t kWindows[] = {0, 1000, 60'000, 3'600'000, kDay, 30 * kDay, 365 * kDay, 7 * kDay};
  return unit < std::size(kWindows) ? kWindows[unit] : 0;
}

char *write_key(char *to, rl_view key) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (uint32_t i = 0; i < key.size; i++) {
    const char c = key.data[i];
    if (c != '|' && c != '#' && c != '%') {
      *to++ = c;
      continue;
    }
    *to++ = '%';
    *to++ = kHex[static_cast<uint8_t>(c) >> 4];
    *to++ = kHex[static_cast<uint8_t>(c) & 15];
  }
  return to;
}

// How many of the names are this one, numbered or not.
uint32_t count_same(const rl_pair *names, uint32_t count, const char *name, uint32_t size) {
  uint32_t same = 0;
  for (uint32_t i = 0; i < count; i++) {
    const rl_view other = names[i].name;
    same += other.size >= size && std::memcmp(other.data, name, size) == 0 &&
            (other.size == size || other.data[size] == '#');
  }
  return same;
}

}  // namespace

void RateLimitDraft::fail(const char *format, ...) {
  if (error) return;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(arena->error, sizeof arena->error, format, arguments);
  va_end(arguments);
  error = arena->error;
}

bool RateLimitDraft::begin(size_t bytes, size_t texts, char **room) {
  *call = {{}, arena->descriptors, 0};
  arena->text.clear();
  // Every key is written twice, escaped: room for all at once, as names must not move.
  const size_t names = 6 * bytes + kNameRoom * (RL_MAX_ALL_ENTRIES + RL_MAX_DESCRIPTORS);
  *room = arena->text.reserve(texts + names);
  if (!*room) return false;
  arena->text.commit(texts);
  return true;
}

bool RateLimitDraft::begin_descriptor() {
  if (call->count == RL_MAX_DESCRIPTORS) {
    fail("descriptors: more than %d", RL_MAX_DESCRIPTORS);
    return false;
  }
  call->count++;
  *descriptor() = {};
  own_hits[at()] = false;
  entry_count = 0;
  return true;
}

void RateLimitDraft::add_entry(rl_view key, rl_view value) {
  const uint32_t place = entry_count++;
  if (error) return;
  if (place == RL_MAX_ENTRIES) return fail("descriptors[%u].entries: more than %d", at(), RL_MAX_ENTRIES);
  if (attribute_count == RL_MAX_ALL_ENTRIES + at()) {
    return fail("descriptors: more than %d entries in all", RL_MAX_ALL_ENTRIES);
  }
  if (key.size == 0) return fail("descriptors[%u].entries[%u].key: must not be empty", at(), place);
  if (key.size > kMaxEntryKey) {
    return fail("descriptors[%u].entries[%u].key: longer than %u bytes", at(), place, kMaxEntryKey);
  }
  if (value.size > kMaxEntryValue) {
    return fail("descriptors[%u].entries[%u].value: longer than %u bytes", at(), place, kMaxEntryValue);
  }
  rl_pair *first = arena->attributes + attribute_count - place;
  char *name = arena->text.reserve(3 * size_t{key.size} + kNameRoom);
  char *end = write_key(copy(name, kPrefix), key);
  uint32_t size = static_cast<uint32_t>(end - name);
  if (const uint32_t same = count_same(first, place, name, size)) {
    *end++ = '#';
    end = write_decimal(end, same + 1);
  }
  size = static_cast<uint32_t>(end - name);
  arena->text.commit(size);
  first[place] = {{name, size}, value};
  attribute_count++;
  if (equals(key, "remote_address")) descriptor()->address = value;
}

void RateLimitDraft::set_limit(uint64_t limit, uint64_t unit) {
  descriptor()->limit = static_cast<uint32_t>(limit);
  descriptor()->window_ms = window_of_unit(unit);
  if (limit > UINT32_MAX) {
    fail("descriptors[%u].limit.requests_per_unit: must be a whole number from 0 to 4294967295", at());
  }
  if (descriptor()->window_ms == 0) {
    fail("descriptors[%u].limit.unit: must be SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR", at());
  }
}

void RateLimitDraft::set_hits(uint64_t own) {
  if (own > UINT32_MAX) fail("descriptors[%u].hits_addend: must be a whole number from 0 to 4294967295", at());
  own_hits[at()] = true;
  descriptor()->hits = static_cast<uint32_t>(own);
}

void RateLimitDraft::end_descriptor() {
  if (error) return;
  const uint32_t count = entry_count;
  rl_pair *entries = arena->attributes + attribute_count - count;
  size_t room = 0;
  for (uint32_t i = 0; i < count; i++) room += entries[i].name.size + 1;
  char *keys = arena->text.reserve(room), *to = keys;
  for (uint32_t i = 0; i < count; i++) {
    if (i) *to++ = '|';
    std::string_view key = to_string_view(entries[i].name).substr(kPrefix.size());
    to = copy(to, key.substr(0, key.find('#')));
  }
  const uint32_t size = static_cast<uint32_t>(to - keys);
  arena->text.commit(size);
  // Last in the arena: what is asked for by name does not mind.
  arena->attributes[attribute_count++] = {view_of("descriptor"), {keys, size}};
  descriptor()->attributes = entries;
  descriptor()->attribute_count = count + 1;
}

DecodeError RateLimitDraft::end() {
  if (call->domain.size == 0) fail("domain: must not be empty");
  if (call->count == 0) fail("descriptors: must not be empty");
  if (hits > UINT32_MAX) fail("hits_addend: must be a whole number from 0 to 4294967295");
  if (error) return error;
  for (uint32_t i = 0; i < call->count; i++) {
    if (!own_hits[i]) arena->descriptors[i].hits = hits ? static_cast<uint32_t>(hits) : 1;
  }
  return nullptr;
}

}  // namespace rl
