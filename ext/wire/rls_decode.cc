// envoy.service.ratelimit.v3.RateLimitRequest. What we do not serve is refused by the name of its field.
#include <cstdarg>
#include <cstdio>

#include "wire/decode.h"
#include "wire/rls_messages.h"

namespace rl {

namespace {

constexpr DecodeError kMalformed = "RateLimitRequest is not a well-formed envoy.service.ratelimit.v3.RateLimitRequest";

constexpr std::string_view kPrefix = "descriptor.";
// "descriptor." and "#32"; and the "|" behind a key.
enum : size_t { kNameRoom = 16 };

struct Draft {
  DescriptorArena *arena;
  rl_descriptor_call *call;
  DecodeError error = nullptr;
  uint32_t attribute_count = 0;  // of all descriptors
  uint32_t entry_count = 0;      // of this one
  uint64_t hits = 1;             // of the request
  bool own_hits[RL_MAX_DESCRIPTORS];

  void malformed() { error = kMalformed; }
  // The first error stays, but that the message is malformed outweighs it.
  __attribute__((format(printf, 2, 3))) void fail(const char *format, ...) {
    if (error) return;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(arena->error, sizeof arena->error, format, arguments);
    va_end(arguments);
    error = arena->error;
  }
};

// 0: none that we count.
uint32_t window_of_unit(uint64_t unit) {
  constexpr uint32_t kDay = 86'400'000;
  constexpr uint32_t kWindows[] = {0, 1000, 60'000, 3'600'000, kDay, 30 * kDay, 0, 7 * kDay};
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

void add_entry(Draft *draft, uint32_t at, rl_view key, rl_view value) {
  const uint32_t place = draft->entry_count++;
  if (draft->error) return;
  if (place == RL_MAX_ENTRIES) return draft->fail("descriptors[%u].entries: more than %d", at, RL_MAX_ENTRIES);
  if (draft->attribute_count == RL_MAX_ALL_ENTRIES + at) {
    return draft->fail("descriptors: more than %d entries in all", RL_MAX_ALL_ENTRIES);
  }
  if (key.size == 0) return draft->fail("descriptors[%u].entries[%u].key: must not be empty", at, place);
  if (key.size > kMaxEntryKey) {
    return draft->fail("descriptors[%u].entries[%u].key: longer than %u bytes", at, place, kMaxEntryKey);
  }
  if (value.size > kMaxEntryValue) {
    return draft->fail("descriptors[%u].entries[%u].value: longer than %u bytes", at, place, kMaxEntryValue);
  }
  rl_descriptor *out = &draft->arena->descriptors[at];
  rl_pair *first = draft->arena->attributes + draft->attribute_count - place;
  Buffer *text = &draft->arena->text;
  char *name = text->reserve(3 * size_t{key.size} + kNameRoom), *end = write_key(copy(name, kPrefix), key);
  uint32_t size = static_cast<uint32_t>(end - name), same = 1;
  for (uint32_t i = 0; i < place; i++) {
    const rl_view other = first[i].name;
    same += other.size >= size && std::memcmp(other.data, name, size) == 0 &&
            (other.size == size || other.data[size] == '#');
  }
  if (same > 1) {
    *end++ = '#';
    end = write_decimal(end, same);
  }
  size = static_cast<uint32_t>(end - name);
  text->commit(size);
  first[place] = {{name, size}, value};
  draft->attribute_count++;
  if (equals(key, "remote_address")) out->address = value;
}

void read_entry_of(Draft *draft, uint32_t at, rl_view bytes) {
  rl_view key{}, value{};
  if (!read_entry(bytes, &key, &value)) return draft->malformed();
  add_entry(draft, at, key, value);
}

void read_limit(Draft *draft, uint32_t at, rl_view bytes) {
  ProtoReader reader(bytes);
  uint64_t limit = 0, unit = 0;
  while (reader.next()) {
    switch (reader.tag()) {
      case tag_of(1, kVarint):
        limit = reader.varint();
        break;
      case tag_of(2, kVarint):
        unit = reader.varint();
        break;
      default:
        reader.skip();
    }
  }
  if (reader.failed()) return draft->malformed();
  rl_descriptor *out = &draft->arena->descriptors[at];
  out->limit = static_cast<uint32_t>(limit);
  out->window_ms = window_of_unit(unit);
  if (limit > UINT32_MAX) {
    draft->fail("descriptors[%u].limit.requests_per_unit: must be a whole number from 0 to 4294967295", at);
  }
  if (out->window_ms == 0) {
    draft->fail("descriptors[%u].limit.unit: must be SECOND, MINUTE, HOUR, DAY, WEEK or MONTH", at);
  }
}

void read_own_hits(Draft *draft, uint32_t at, rl_view bytes) {
  ProtoReader reader(bytes);
  uint64_t hits = 0;
  while (reader.next()) {
    if (reader.tag() == tag_of(1, kVarint)) {
      hits = reader.varint();
    } else {
      reader.skip();
    }
  }
  if (reader.failed()) return draft->malformed();
  if (hits > UINT32_MAX) {
    draft->fail("descriptors[%u].hits_addend: must be a whole number from 0 to 4294967295", at);
  }
  draft->own_hits[at] = true;
  draft->arena->descriptors[at].hits = static_cast<uint32_t>(hits);
}

// The keys as one text, from the names that the entries have got.
void finish_descriptor(Draft *draft, uint32_t at) {
  if (draft->error) return;
  rl_descriptor *out = &draft->arena->descriptors[at];
  const uint32_t count = draft->entry_count;
  rl_pair *entries = draft->arena->attributes + draft->attribute_count - count;
  Buffer *text = &draft->arena->text;
  size_t room = 0;
  for (uint32_t i = 0; i < count; i++) room += entries[i].name.size + 1;
  char *keys = text->reserve(room), *to = keys;
  for (uint32_t i = 0; i < count; i++) {
    if (i) *to++ = '|';
    std::string_view key = to_string_view(entries[i].name).substr(kPrefix.size());
    to = copy(to, key.substr(0, key.find('#')));
  }
  const uint32_t size = static_cast<uint32_t>(to - keys);
  text->commit(size);
  // Last in the arena: what is asked for by name does not mind.
  draft->arena->attributes[draft->attribute_count++] = {view_of("descriptor"), {keys, size}};
  out->attributes = entries;
  out->attribute_count = count + 1;
}

void read_descriptor(Draft *draft, rl_view bytes) {
  const uint32_t at = draft->call->count;
  if (at == RL_MAX_DESCRIPTORS) return draft->fail("descriptors: more than %d", RL_MAX_DESCRIPTORS);
  draft->call->count++;
  draft->arena->descriptors[at] = {};
  draft->own_hits[at] = false;
  draft->entry_count = 0;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        read_entry_of(draft, at, reader.bytes());
        break;
      case tag_of(2, kBytes):
        read_limit(draft, at, reader.bytes());
        break;
      case tag_of(3, kBytes):
        read_own_hits(draft, at, reader.bytes());
        break;
      case tag_of(4, kVarint):
        if (reader.varint() != 0) draft->fail("descriptors[%u].is_negative_hits: hits are not given back", at);
        break;
      default:
        reader.skip();
    }
  }
  if (reader.failed()) draft->malformed();
  finish_descriptor(draft, at);
}

}  // namespace

DecodeError decode_rate_limit(rl_view bytes, DescriptorArena *arena, rl_descriptor_call *out) {
  *out = {{}, arena->descriptors, 0};
  if (bytes.size > kMaxRateLimitRequest) return "RateLimitRequest is larger than 128 KiB";
  Draft draft{arena, out};
  arena->text.clear();
  // Every key is written twice, escaped: room for all at once, as names must not move.
  const size_t room = 6 * size_t{bytes.size} + kNameRoom * (RL_MAX_ALL_ENTRIES + RL_MAX_DESCRIPTORS);
  if (!arena->text.reserve(room)) return "out of memory";
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        out->domain = reader.bytes();
        break;
      case tag_of(2, kBytes):
        read_descriptor(&draft, reader.bytes());
        break;
      case tag_of(3, kVarint):
        draft.hits = reader.varint();
        break;
      default:
        reader.skip();
    }
  }
  if (reader.failed()) draft.malformed();
  if (out->domain.size == 0) draft.fail("domain: must not be empty");
  if (out->count == 0) draft.fail("descriptors: must not be empty");
  if (draft.hits > UINT32_MAX) draft.fail("hits_addend: must be a whole number from 0 to 4294967295");
  if (draft.error) return draft.error;
  for (uint32_t i = 0; i < out->count; i++) {
    if (!draft.own_hits[i]) arena->descriptors[i].hits = draft.hits ? static_cast<uint32_t>(draft.hits) : 1;
  }
  return nullptr;
}

}  // namespace rl
