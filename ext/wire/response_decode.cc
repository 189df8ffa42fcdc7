// ratelimitd.v1.InspectResponseRequest: proto/ratelimitd/v1/ratelimit.proto.
#include "wire/decode.h"

namespace rl {

namespace {

constexpr DecodeError kMalformed = "InspectResponseRequest is not a well-formed ratelimitd.v1.InspectResponseRequest";

// A response in the making, and the request that it answers: that one's memory serves both.
struct ResponseDraft {
  rl_response *response;
  RequestDraft *request;
  DecodeError error = nullptr;

  void fail(DecodeError why) {
    if (!error) error = why;
  }
};

void read_request(ResponseDraft *draft, rl_view bytes) {
  ProtoReader reader(bytes);
  while (reader.next()) read_check_field(draft->request, &reader);
  if (reader.failed()) draft->error = kMalformed;
}

void read_header(ResponseDraft *draft, rl_view bytes) {
  rl_response *out = draft->response;
  rl_view name{}, value{};
  if (!read_entry(bytes, &name, &value)) {
    draft->error = kMalformed;
    return;
  }
  if (name.size == 0) return draft->fail("headers: a name is empty");
  if (name.data[0] == ':') return;  // :status, which says what `status` says
  if (out->header_count == RL_MAX_HEADERS) return draft->fail("headers: more than 256");
  draft->request->arena->response_headers[out->header_count++] = {lower_name(draft->request, name), value};
}

void read_status(ResponseDraft *draft, uint64_t status) {
  if (status < 100 || status > 599) return draft->fail("status: must be an HTTP status, 100 to 599");
  draft->response->status = static_cast<uint16_t>(status);
}

void read_field(ResponseDraft *draft, ProtoReader *reader) {
  switch (reader->tag()) {
    case tag_of(1, kBytes):
      read_request(draft, reader->bytes());
      break;
    case tag_of(2, kVarint):
      read_status(draft, reader->varint());
      break;
    case tag_of(3, kBytes):
      read_header(draft, reader->bytes());
      break;
    case tag_of(4, kBytes):
      draft->response->body = reader->bytes();
      break;
    case tag_of(5, kVarint):
      draft->response->partial_body = reader->varint() != 0;
      break;
    default:
      reader->skip();
  }
}

}  // namespace

DecodeError decode_inspect_response(rl_view bytes, RequestArena *arena, rl_request *request, rl_response *response,
                                    bool *of_request) {
  RequestDraft asked(bytes, arena, request);
  ResponseDraft draft{response, &asked};
  *response = {};
  response->headers = arena->response_headers;
  ProtoReader reader(bytes);
  while (reader.next()) read_field(&draft, &reader);
  *of_request = false;
  if (reader.failed()) return kMalformed;
  if (draft.error) return draft.error;
  if (response->status == 0) return "status: must be an HTTP status, 100 to 599";
  DecodeError error = finish_check(&asked);
  *of_request = error != nullptr;
  return error;
}

}  // namespace rl
