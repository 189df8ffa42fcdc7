// ratelimitd.v1.CheckRequest and CheckBatchRequest: proto/ratelimitd/v1/ratelimit.proto.
#include "bytes/address.h"
#include "wire/decode.h"

namespace rl {

namespace {

constexpr DecodeError kMalformed = "CheckRequest is not a well-formed ratelimitd.v1.CheckRequest";

void read_header(RequestDraft *draft, rl_view bytes) {
  rl_view name{}, value{};  // Header has the shape of a map entry
  if (!read_entry(bytes, &name, &value)) return draft->malformed(kMalformed);
  if (name.size == 0) return draft->fail("headers: a name is empty");
  add_header(draft, name, value);
}

void read_attribute(RequestDraft *draft, rl_view bytes) {
  rl_view name{}, value{};
  if (!read_entry(bytes, &name, &value)) return draft->malformed(kMalformed);
  add_attribute(draft, name, value);
}

void read_cost(RequestDraft *draft, uint64_t cost) {
  // protobuf would cut it to 32 bits, and 2^32 would cost nothing.
  if (cost > UINT32_MAX) return draft->fail("cost: must be a whole number from 0 to 4294967295");
  draft->request->cost = static_cast<uint32_t>(cost);
}

// A text that is no address would pass for a client without one, whose limits are shared or skipped.
void check_source_address(RequestDraft *draft) {
  const rl_view text = draft->request->source_address;
  rl_address address;
  if (!draft->error && text.size != 0 && !rl_address_parse(text, &address)) {
    draft->fail("source_address: must be an IP address, or empty when there is none");
  }
}

}  // namespace

void read_check_field(RequestDraft *draft, ProtoReader *reader) {
  rl_request *out = draft->request;
  switch (reader->tag()) {
    case tag_of(1, kBytes):
      out->domain = reader->bytes();
      break;
    case tag_of(2, kBytes):
      out->source_address = reader->bytes();
      break;
    case tag_of(3, kBytes):
      out->method = reader->bytes();
      break;
    case tag_of(4, kBytes):
      out->path = reader->bytes();
      break;
    case tag_of(5, kBytes):
      out->host = reader->bytes();
      break;
    case tag_of(6, kBytes):
      out->scheme = reader->bytes();
      break;
    case tag_of(7, kBytes):
      read_header(draft, reader->bytes());
      break;
    case tag_of(8, kBytes):
      out->body = reader->bytes();
      out->has_body = 1;
      break;
    case tag_of(9, kVarint):
      out->partial_body = reader->varint() != 0;
      break;
    case tag_of(10, kBytes):
      read_attribute(draft, reader->bytes());
      break;
    case tag_of(11, kVarint):
      read_cost(draft, reader->varint());
      break;
    case tag_of(12, kVarint):
      out->dry_run = reader->varint() != 0;
      break;
    case tag_of(13, kVarint):
      out->explain = reader->varint() != 0;
      break;
    default:
      reader->skip();
  }
}

DecodeError finish_check(RequestDraft *draft) {
  check_source_address(draft);
  return draft->finish();
}

DecodeError decode_check(rl_view bytes, RequestArena *arena, rl_request *out) {
  RequestDraft draft(bytes, arena, out);
  ProtoReader reader(bytes);
  while (reader.next()) read_check_field(&draft, &reader);
  if (reader.failed()) draft.malformed(kMalformed);
  return finish_check(&draft);
}

int next_batch_request(rl_view bytes, size_t *cursor, rl_view *out, DecodeError *error) {
  ProtoReader reader({bytes.data + *cursor, static_cast<uint32_t>(bytes.size - *cursor)});
  while (reader.next()) {
    if (reader.tag() == tag_of(1, kBytes)) {
      *out = reader.bytes();
      if (reader.failed()) break;
      *cursor = static_cast<size_t>(reader.position() - bytes.data);
      return 1;
    }
    reader.skip();
  }
  if (reader.failed()) {
    *error = "CheckBatchRequest is not a well-formed ratelimitd.v1.CheckBatchRequest";
    return -1;
  }
  *cursor = bytes.size;
  return 0;
}

}  // namespace rl
