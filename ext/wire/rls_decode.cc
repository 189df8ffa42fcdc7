// envoy.service.ratelimit.v3.RateLimitRequest.
#include "wire/decode.h"
#include "wire/rls_draft.h"

namespace rl {
namespace {

constexpr DecodeError kMalformed = "RateLimitRequest is not a well-formed envoy.service.ratelimit.v3.RateLimitRequest";

// That a message is malformed outweighs whatever else is wrong with it.
void read_limit(RateLimitDraft *draft, rl_view bytes) {
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
  draft->set_limit(limit, unit);
  if (reader.failed()) draft->error = kMalformed;
}

void read_own_hits(RateLimitDraft *draft, rl_view bytes) {
  ProtoReader reader(bytes);
  uint64_t hits = 0;
  while (reader.next()) {
    if (reader.tag() == tag_of(1, kVarint)) {
      hits = reader.varint();
    } else {
      reader.skip();
    }
  }
  draft->set_hits(hits);
  if (reader.failed()) draft->error = kMalformed;
}

void read_descriptor(RateLimitDraft *draft, rl_view bytes) {
  if (!draft->begin_descriptor()) return;
  ProtoReader reader(bytes);
  rl_view key, value;
  while (reader.next()) {
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        key = value = {};
        if (!read_entry(reader.bytes(), &key, &value)) draft->error = kMalformed;
        draft->add_entry(key, value);
        break;
      case tag_of(2, kBytes):
        read_limit(draft, reader.bytes());
        break;
      case tag_of(3, kBytes):
        read_own_hits(draft, reader.bytes());
        break;
      case tag_of(4, kVarint):
        draft->set_refund(reader.varint() != 0);
        break;
      default:
        reader.skip();
    }
  }
  if (reader.failed()) draft->error = kMalformed;
  draft->end_descriptor();
}

}  // namespace

DecodeError decode_rate_limit(rl_view bytes, DescriptorArena *arena, rl_descriptor_call *out) {
  if (bytes.size > kMaxRateLimitRequest) return "RateLimitRequest is larger than 128 KiB";
  RateLimitDraft draft{arena, out};
  char *room;
  if (!draft.begin(bytes.size, 0, &room)) return "out of memory";
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
  if (reader.failed()) draft.error = kMalformed;
  return draft.end();
}

}  // namespace rl
