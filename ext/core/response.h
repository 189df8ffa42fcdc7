// What a server answered to an rl_request: for the rules that look at responses.
//
// Views live as those of the request do.
#pragma once
#include "core/view.h"

typedef struct rl_response {
  rl_view protocol;        // "HTTP/1.1" or empty
  rl_view body;            // as sent, with its content coding
  const rl_pair *headers;  // in order, duplicates kept; at most RL_MAX_HEADERS
  uint32_t header_count;
  uint16_t status;       // 200, 404
  uint8_t partial_body;  // the body is cut
} rl_response;
