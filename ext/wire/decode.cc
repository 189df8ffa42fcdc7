#include "wire/decode.h"

namespace rl {

static_assert(RL_MAX_HEADERS == 256 && RL_MAX_ATTRIBUTES == 64, "the messages below say so");

RequestDraft::RequestDraft(rl_view message, RequestArena *memory, rl_request *out)
    : request(out), arena(memory), message_size(message.size) {
  *out = {};
  out->cost = 1;
  out->headers = memory->headers;
  out->attributes = memory->attributes;
  memory->text.clear();
}

DecodeError RequestDraft::finish() {
  if (error) return error;
  rl_request *out = request;
  if (out->method.size == 0) out->method = pseudo_method;
  if (out->path.size == 0) out->path = pseudo_path;
  if (out->scheme.size == 0) out->scheme = pseudo_scheme;
  if (out->host.size == 0) out->host = pseudo_authority.size ? pseudo_authority : host_header;
  return nullptr;
}

static void keep_pseudo_header(RequestDraft *draft, rl_view name, rl_view value) {
  if (equals(name, ":path")) {
    draft->pseudo_path = value;
  } else if (equals(name, ":method")) {
    draft->pseudo_method = value;
  } else if (equals(name, ":authority")) {
    draft->pseudo_authority = value;
  } else if (equals(name, ":scheme")) {
    draft->pseudo_scheme = value;
  }
}

rl_view lower_name(RequestDraft *draft, rl_view name) {
  if (!has_upper(name)) return name;
  Buffer *text = &draft->arena->text;
  // Room for all names of this message at once: they must not move while the request is alive.
  char *to = text->reserve(text->empty() ? draft->message_size : name.size);
  if (!to) {
    draft->fail("out of memory");
    return {};
  }
  copy_lower(to, name);
  text->commit(name.size);
  return {to, name.size};
}

void add_header(RequestDraft *draft, rl_view name, rl_view value) {
  if (name.size == 0 || draft->error) return;
  if (name.data[0] == ':') return keep_pseudo_header(draft, name, value);
  rl_request *out = draft->request;
  if (out->header_count == RL_MAX_HEADERS) return draft->fail("headers: more than 256");
  name = lower_name(draft, name);
  draft->arena->headers[out->header_count++] = {name, value};
  if (name.size == 4) {
    if (equals(name, "host")) draft->host_header = value;
  } else if (name.size == 12) {
    if (equals(name, "x-request-id")) out->request_id = value;
  } else if (name.size == 25) {
    // Any "true" counts: with raw headers a client's own line stands beside Envoy's.
    if (equals(name, "x-envoy-auth-partial-body") && equals(value, "true")) draft->envoy_partial_body = true;
  }
}

void add_attribute(RequestDraft *draft, rl_view name, rl_view value) {
  if (draft->error) return;
  if (++draft->attributes_seen > RL_MAX_ATTRIBUTES) return draft->fail("attributes: more than 64");
  rl_request *out = draft->request;
  rl_pair *attributes = draft->arena->attributes;
  for (uint32_t i = 0; i < out->attribute_count; i++) {
    if (equals(attributes[i].name, to_string_view(name))) {
      attributes[i].value = value;
      return;
    }
  }
  attributes[out->attribute_count++] = {name, value};
}

bool parse_decimal(rl_view text, uint32_t *value) {
  const char *end = text.data + text.size;
  auto [stop, error] = std::from_chars(text.data, end, *value);
  return text.size != 0 && error == std::errc() && stop == end;
}

}  // namespace rl
