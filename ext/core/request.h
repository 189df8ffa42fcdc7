// What a caller asks, whichever door it came through. Written by wire/, read by check.
//
// Every view points into the worker's read buffer (or into its per-request arena) and is valid until the answer is
// encoded.
#pragma once
#include "core/view.h"

enum {
  RL_MAX_HEADERS = 256,    // more: INVALID_ARGUMENT
  RL_MAX_ATTRIBUTES = 64,  // more: INVALID_ARGUMENT
};

typedef struct rl_request {
  rl_view domain;          // empty: the policy's default domain
  rl_view source_address;  // the peer that the proxy saw, as text ("203.0.113.7", "2001:db8::1"); may be empty
  rl_view method;          // as sent, e.g. "GET"
  rl_view path;            // raw, with the query ("/a%2Fb?x=1")
  rl_view host;            // authority, may carry a port
  rl_view scheme;          // "http", "https" or empty
  rl_view protocol;        // "HTTP/1.1" or empty
  rl_view request_id;      // the caller's id (x-request-id), may be empty
  rl_view body;
  const rl_pair *headers;  // in order, duplicates kept; no pseudo-headers
  const rl_pair *attributes;
  rl_view
      metadata;  // envoy.config.core.v3.Metadata, well-formed and not unpacked; attributes "metadata.<filter>.<path>"
  uint32_t header_count;
  uint32_t attribute_count;
  uint32_t cost;         // hits to charge; 0 peeks. 1 when the caller did not say
  uint8_t has_body;      // a body (even an empty one) was sent along
  uint8_t partial_body;  // the body is cut
  uint8_t dry_run;       // decide, count nothing
  uint8_t explain;       // scan even what a limit denies
} rl_request;
