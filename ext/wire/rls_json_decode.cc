// envoy.service.ratelimit.v3.RateLimitRequest out of JSON.
#include <cstdio>
#include <iterator>

#include "wire/json.h"
#include "wire/rls_draft.h"
#include "wire/text.h"

namespace rl {
namespace {

struct Name {
  std::string_view camel, plain;
};

// The member's place among names; their number when it is none of them.
template <size_t n>
uint32_t find_name(const Name (&names)[n], rl_view member) {
  uint32_t i = 0;
  while (i < n && !equals(member, names[i].camel) && !equals(member, names[i].plain)) ++i;
  return i;
}

enum : uint32_t { kDomain, kDescriptors, kHits };
constexpr Name kCallNames[] = {{"domain", "domain"}, {"descriptors", "descriptors"}, {"hitsAddend", "hits_addend"}};

enum : uint32_t { kEntries, kLimit, kOwnHits, kRefund };
constexpr Name kDescriptorNames[] = {
    {"entries", "entries"}, {"limit", "limit"}, {"hitsAddend", "hits_addend"}, {"isNegativeHits", "is_negative_hits"}};

enum : uint32_t { kKey, kValue };
constexpr Name kEntryNames[] = {{"key", "key"}, {"value", "value"}};

enum : uint32_t { kRequests, kUnit };
constexpr Name kLimitNames[] = {{"requestsPerUnit", "requests_per_unit"}, {"unit", "unit"}};

constexpr std::string_view kUnits[] = {"UNKNOWN", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR", "WEEK"};

struct JsonCall {
  RateLimitDraft draft;
  JsonReader reader;

  // Goes through an object: read(place) for each member that is not null. A member that it does not know, or one that
  // is given twice, is an error.
  template <size_t n, typename Read>
  void each_member(const Name (&names)[n], Read read) {
    uint32_t seen = 0;
    rl_view member;
    for (bool in = reader.enter_object(); in && reader.next_member(&member);) {
      const uint32_t place = find_name(names, member);
      if (place == n) return reader.fail("has a member that it may not have");
      if (seen & 1u << place) return reader.fail("has a member twice");
      seen |= 1u << place;
      if (!reader.take_null()) read(place);
    }
  }
  // An error of the reader's is one about the field.
  void blame(const char *field) {
    if (!reader.failed() || draft.error) return;
    if (reader.error() == JsonReader::kNotJson) {
      draft.error = JsonReader::kNotJson;
    } else {
      draft.fail("%s: %s", field, reader.error());
    }
  }
  void blame_descriptor(const char *field) {
    char text[64];
    std::snprintf(text, sizeof text, "descriptors[%u]%s", draft.at(), field);
    blame(text);
  }

  uint32_t read_unit();
  void read_limit();
  void read_entries();
  void read_descriptor();
  void read_descriptors();
  void read();
};

// By name or by number.
uint32_t JsonCall::read_unit() {
  if (!reader.at_text()) return reader.number();
  const rl_view name = reader.text();
  for (uint32_t i = 0; i < std::size(kUnits); i++) {
    if (equals(name, kUnits[i])) return i;
  }
  return 0;
}

void JsonCall::read_limit() {
  uint32_t limit = 0, unit = 0;
  each_member(kLimitNames, [&](uint32_t member) {
    if (member == kRequests) {
      limit = reader.number();
      blame_descriptor(".limit.requests_per_unit");
    } else {
      unit = read_unit();
      blame_descriptor(".limit.unit");
    }
  });
  blame_descriptor(".limit");
  if (!reader.failed()) draft.set_limit(limit, unit);
}

void JsonCall::read_entries() {
  for (bool in = reader.enter_list(); in && reader.next_item();) {
    rl_view key{}, value{};
    each_member(kEntryNames, [&](uint32_t member) { (member == kKey ? key : value) = reader.text(); });
    char field[32];
    std::snprintf(field, sizeof field, ".entries[%u]", draft.entry_count);
    blame_descriptor(field);
    if (!reader.failed()) draft.add_entry(key, value);
    if (draft.error) return reader.fail(draft.error);
  }
}

void JsonCall::read_descriptor() {
  if (!draft.begin_descriptor()) return;
  each_member(kDescriptorNames, [&](uint32_t member) {
    switch (member) {
      case kEntries:
        read_entries();
        return blame_descriptor(".entries");
      case kLimit:
        return read_limit();
      case kOwnHits: {
        const uint32_t hits = reader.number();
        draft.set_hits(hits);
        return blame_descriptor(".hits_addend");
      }
      default:
        draft.set_refund(reader.flag());
        return blame_descriptor(".is_negative_hits");
    }
  });
  blame_descriptor("");
  draft.end_descriptor();
}

void JsonCall::read_descriptors() {
  for (bool in = reader.enter_list(); in && reader.next_item();) {
    read_descriptor();
    if (draft.error) return reader.fail(draft.error);
  }
}

void JsonCall::read() {
  each_member(kCallNames, [&](uint32_t member) {
    switch (member) {
      case kDomain:
        draft.call->domain = reader.text();
        return blame("domain");
      case kDescriptors:
        read_descriptors();
        return blame("descriptors");
      default:
        draft.hits = reader.number();
        return blame("hits_addend");
    }
  });
  blame("the message");
}

}  // namespace

DecodeError decode_rate_limit_json(rl_view bytes, DescriptorArena *arena, rl_descriptor_call *out) {
  if (bytes.size > kMaxRateLimitRequest) return "RateLimitRequest is larger than 128 KiB";
  RateLimitDraft draft{arena, out};
  char *room;
  if (!draft.begin(bytes.size, bytes.size + 1, &room)) return "out of memory";
  JsonCall call{draft, JsonReader(bytes, room)};
  call.read();
  call.reader.finish();
  call.blame("the message");
  return call.draft.end();
}

}  // namespace rl
