// The head of an HTTP/1.1 request (RFC 9112), read strictly: whatever two readers might take differently is refused
// (request smuggling), and so is whatever no client has a reason to send.
//
// Ours rather than a library's: Debian 12 has no maintained one to link to. http-parser has been given up, and llhttp
// is there only as the source of a JavaScript package, at a version with known smuggling holes. The tests hold it
// against llhttp 9, which must take what this takes in the same way.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rl {

struct Http1Head {
  rl_view method;
  rl_view target;  // in origin form: of the absolute form without scheme and authority
  rl_view host;    // the Host field, empty when HTTP/1.0 has none
  uint8_t minor;   // of HTTP/1.x: 0 or 1
  bool keep_alive;
  bool chunked;
  bool expects_continue;
  uint64_t length;  // Content-Length, 0 when there is none
  uint32_t field_count;
};

// Why a request is refused: the status to say so by, and static text. Status 0: it is not.
struct HttpRefusal {
  uint16_t status;
  const char *detail;
};

enum : int64_t { kHeadIncomplete = 0, kHeadBroken = -1 };
// Looks for the empty line that ends a head, from byte `from` on; returns the size of the head with it, or one of the
// above. Broken: a line that ends with a bare LF.
int64_t find_head_end(rl_view bytes, size_t from);

// Reads a whole head, as find_head_end has measured it. Names are rewritten in lower case where they stand. fields:
// room for RL_MAX_HEADERS.
HttpRefusal parse_head(char *bytes, size_t size, rl_pair *fields, Http1Head *head);

}  // namespace rl
