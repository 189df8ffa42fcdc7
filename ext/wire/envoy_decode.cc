// envoy.service.auth.v3.CheckRequest, message by message from the outside in; proto/envoy has what we read of them.
//
// A message that occurs twice is merged, as protobuf does: both are read into the same request, the last scalar wins.
// The one deviation: a key that occurs twice in the headers map is kept twice, so that nothing hides from a scan (Envoy
// never sends that).
#include "wire/decode.h"
#include "wire/metadata.h"

namespace rl {

namespace {

constexpr DecodeError kMalformed = "CheckRequest is not a well-formed envoy.service.auth.v3.CheckRequest";

struct EnvoyDraft : RequestDraft {
  using RequestDraft::RequestDraft;
  bool has_http = false;
  rl_view id{}, body{}, raw_body{};
};

// Reads every field of a message through one function: field(reader), which takes what it knows and skips the rest.
template <typename Field>
void read_message(EnvoyDraft *draft, rl_view bytes, Field field) {
  ProtoReader reader(bytes);
  while (reader.next()) field(reader);
  if (reader.failed()) draft->malformed(kMalformed);
}

void read_socket_address(EnvoyDraft *draft, rl_view bytes) {
  read_message(draft, bytes, [draft](ProtoReader &reader) {
    if (reader.tag() == tag_of(2, kBytes)) {
      draft->request->source_address = reader.bytes();
    } else {
      reader.skip();
    }
  });
}

void read_address(EnvoyDraft *draft, rl_view bytes) {
  read_message(draft, bytes, [draft](ProtoReader &reader) {
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        read_socket_address(draft, reader.bytes());
        break;
      case tag_of(2, kBytes):  // pipe: the peer has no address; the last of a oneof wins
        draft->request->source_address = {};
        read_message(draft, reader.bytes(), [](ProtoReader &pipe) { pipe.skip(); });
        break;
      default:
        reader.skip();
    }
  });
}

void read_source(EnvoyDraft *draft, rl_view bytes) {
  read_message(draft, bytes, [draft](ProtoReader &reader) {
    if (reader.tag() == tag_of(1, kBytes)) {
      read_address(draft, reader.bytes());
    } else {
      reader.skip();
    }
  });
}

void read_header_value(EnvoyDraft *draft, rl_view bytes) {
  rl_view key{}, value{}, raw_value{};
  if (read_plain_pair(bytes, 3, &key, &raw_value)) return add_header(draft, key, raw_value);
  read_message(draft, bytes, [&](ProtoReader &reader) {
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        key = reader.bytes();
        break;
      case tag_of(2, kBytes):
        value = reader.bytes();
        break;
      case tag_of(3, kBytes):
        raw_value = reader.bytes();
        break;
      default:
        reader.skip();
    }
  });
  add_header(draft, key, raw_value.size ? raw_value : value);
}

void read_header_map(EnvoyDraft *draft, rl_view bytes) {
  read_message(draft, bytes, [draft](ProtoReader &reader) {
    if (reader.tag() == tag_of(1, kBytes)) {
      read_header_value(draft, reader.bytes());
    } else {
      reader.skip();
    }
  });
}

void read_header(EnvoyDraft *draft, rl_view bytes) {
  rl_view name{}, value{};
  if (!read_entry(bytes, &name, &value)) return draft->malformed(kMalformed);
  add_header(draft, name, value);
}

void read_http(EnvoyDraft *draft, rl_view bytes) {
  draft->has_http = true;
  rl_request *out = draft->request;
  read_message(draft, bytes, [draft, out](ProtoReader &reader) {
    // Most fields are headers: a branch that is foreseen beats the switch's jump.
    if (reader.tag() == tag_of(3, kBytes)) [[likely]]
      return read_header(draft, reader.bytes());
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        draft->id = reader.bytes();
        break;
      case tag_of(2, kBytes):
        out->method = reader.bytes();
        break;
      case tag_of(4, kBytes):
        out->path = reader.bytes();
        break;
      case tag_of(5, kBytes):
        out->host = reader.bytes();
        break;
      case tag_of(6, kBytes):
        out->scheme = reader.bytes();
        break;
      case tag_of(10, kBytes):
        out->protocol = reader.bytes();
        break;
      case tag_of(11, kBytes):
        draft->body = reader.bytes();
        break;
      case tag_of(12, kBytes):
        draft->raw_body = reader.bytes();
        break;
      case tag_of(13, kBytes):
        read_header_map(draft, reader.bytes());
        break;
      default:
        reader.skip();
    }
  });
}

void read_request(EnvoyDraft *draft, rl_view bytes) {
  read_message(draft, bytes, [draft](ProtoReader &reader) {
    if (reader.tag() == tag_of(2, kBytes)) {
      read_http(draft, reader.bytes());
    } else {
      reader.skip();
    }
  });
}

void read_context_extension(EnvoyDraft *draft, rl_view bytes) {
  rl_view name{}, value{};
  if (!read_entry(bytes, &name, &value)) return draft->malformed(kMalformed);
  if (equals(name, "ratelimitd_domain")) {
    draft->request->domain = value;
  } else if (equals(name, "ratelimitd_cost")) {
    if (!parse_decimal(value, &draft->request->cost)) {
      draft->fail("attributes.context_extensions.ratelimitd_cost: must be a whole number from 0 to 4294967295");
    }
  } else {
    add_attribute(draft, name, value);
  }
}

// Not merged when it occurs twice: the last one is kept.
void read_metadata(EnvoyDraft *draft, rl_view bytes) {
  if (!is_metadata(bytes)) return draft->malformed(kMalformed);
  draft->request->metadata = bytes;
}

void read_attributes(EnvoyDraft *draft, rl_view bytes) {
  read_message(draft, bytes, [draft](ProtoReader &reader) {
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        read_source(draft, reader.bytes());
        break;
      case tag_of(4, kBytes):
        read_request(draft, reader.bytes());
        break;
      case tag_of(10, kBytes):
        read_context_extension(draft, reader.bytes());
        break;
      case tag_of(11, kBytes):
        read_metadata(draft, reader.bytes());
        break;
      default:
        reader.skip();
    }
  });
}

}  // namespace

DecodeError decode_envoy_check(rl_view bytes, RequestArena *arena, rl_request *out) {
  EnvoyDraft draft(bytes, arena, out);
  read_message(&draft, bytes, [&draft](ProtoReader &reader) {
    if (reader.tag() == tag_of(1, kBytes)) {
      read_attributes(&draft, reader.bytes());
    } else {
      reader.skip();
    }
  });
  if (!draft.error && !draft.has_http) {
    draft.fail("attributes.request.http: missing; call Check from the HTTP filter envoy.filters.http.ext_authz");
  }
  // http.id is the id of Envoy's stream: better than nothing.
  if (out->request_id.size == 0) out->request_id = draft.id;
  out->partial_body = draft.envoy_partial_body;
  out->body = draft.raw_body.size ? draft.raw_body : draft.body;
  out->has_body = out->body.size != 0 || out->partial_body;
  return draft.finish();
}

}  // namespace rl
