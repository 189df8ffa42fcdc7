// The protobuf messages that we read and write: bytes in, structs out, and back. No I/O, nothing thrown.
#pragma once
#include "core/request.h"
#include "core/response.h"
#include "core/verdict.h"
#include "wire/buffer.h"

namespace rl {

// Memory for one request at a time: the header and attribute arrays, and what must be rewritten (joined, lower-cased).
// One per worker.
struct RequestArena {
  rl_pair headers[RL_MAX_HEADERS];
  rl_pair attributes[RL_MAX_ATTRIBUTES];
  rl_pair response_headers[RL_MAX_HEADERS];
  Buffer text;     // lower-cased names; its bytes do not move while a request is alive: reserve first
  char note[256];  // an error that names what the caller sent
};

// Why a message cannot be used: ready for grpc-message, "FIELD: what is wrong with it" when one field is to blame. NULL
// means it could.
using DecodeError = const char *;

// envoy.service.auth.v3.CheckRequest. Views point into bytes (or the arena). The domain comes from the context
// extension `ratelimitd_domain`, cost from `ratelimitd_cost`. method, path, host, scheme come from `http`, else from
// pseudo-headers; body from raw_body else body; partial_body from the x-envoy-auth-partial-body header. Reads `headers`
// or `header_map`.
DecodeError decode_envoy_check(rl_view bytes, RequestArena *arena, rl_request *out);
// envoy.service.auth.v3.CheckResponse by the table of what Envoy makes of it: OK with RateLimit fields for the
// response, or denied with status, headers and body (problem+json for limits, an opaque reference for scans);
// dynamic_metadata when asked.
void encode_envoy_check(const rl_verdict &verdict, bool metadata, Buffer *out);

// ratelimitd.v1.CheckRequest, CheckResponse.
DecodeError decode_check(rl_view bytes, RequestArena *arena, rl_request *out);
void encode_check(const rl_verdict &verdict, Buffer *out);

// ratelimitd.v1.CheckBatchRequest: the next embedded CheckRequest from *cursor. 1 with *out, 0 at the end, -1 malformed
// (*error).
int next_batch_request(rl_view bytes, size_t *cursor, rl_view *out, DecodeError *error);
// Appends one embedded CheckResponse to a CheckBatchResponse.
void append_batch_response(const rl_verdict &verdict, Buffer *out);

// ratelimitd.v1.InspectResponseRequest, InspectResponseResponse. *of_request: the error is one of the embedded request.
DecodeError decode_inspect_response(rl_view bytes, RequestArena *arena, rl_request *request, rl_response *response,
                                    bool *of_request);
void encode_inspect_response(const rl_verdict &verdict, Buffer *out);

// The fields that go to the client, whichever the door: calls sink(name, value) for each of RateLimit-Policy,
// RateLimit, x-ratelimit-*, Retry-After, content-type and x-ratelimitd-reference. At most 13 calls; values live until
// the next.
using HeaderSink = void (*)(void *context, rl_view name, rl_view value);
void client_headers(const rl_verdict &verdict, HeaderSink sink, void *context);
// The body of a denial (problem+json); appended.
void denial_body(const rl_verdict &verdict, Buffer *out);

}  // namespace rl
