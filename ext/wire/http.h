// One HTTP exchange, whichever version of HTTP carries it: what was asked, and the answer in the making.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/request.h"
#include "core/service.h"
#include "core/view.h"
#include "wire/buffer.h"
#include "wire/http_date.h"

namespace rl {

// A whole request. Views are valid until the handler returns.
struct HttpCall {
  rl_view method;
  rl_view target;     // in origin form, with the query ("/auth/nginx")
  rl_view authority;  // Host or :authority; may be empty
  rl_view scheme;     // of HTTP/2; else empty
  const rl_pair *fields;
  uint32_t field_count;  // in order, duplicates kept, names in lower case; no pseudo-headers
  rl_view body;
  int64_t arrived_ns;  // since when it has been waiting for us, whole
};

// What the handler fills in. Everything added is copied.
struct HttpAnswer {
  enum : uint32_t { kMaxFields = 16, kText = 4096 };

  uint16_t status = 200;
  uint32_t field_count = 0;
  uint32_t text_size = 0;
  rl_pair fields[kMaxFields];  // names in lower case; no content-length
  char text[kText];
  Buffer *body;  // empty at first

  explicit HttpAnswer(Buffer *to) : body(to) { to->clear(); }
  // Names must be static text. What does not fit is left out.
  void add(std::string_view name, rl_view value);
};

// Answers one call, and says what time it is (for Date).
struct HttpHandler {
  void *self = nullptr;
  void (*call)(void *self, const HttpCall &call, HttpAnswer *answer) = nullptr;
  rl_view (*date)(void *self) = nullptr;
};

// May something be served here that is not gRPC?
bool is_http_path(rl_view path);

// The field of that name; NULL when there is none.
const rl_pair *find_field(const HttpCall &call, std::string_view name);

// Problem details (RFC 9457) of a failure. "FIELD: what is wrong" names the field on its own, too.
void answer_problem(uint16_t status, std::string_view detail, HttpAnswer *answer);

std::string_view status_phrase(uint32_t status);

// The statuses by which we say that a request could not be decided.
inline constexpr uint16_t kHttpErrors[RL_HTTP_ERROR_COUNT] = {400, 404, 405, 408, 413, 415,
                                                              417, 421, 431, 501, 503, 505};
// Its place among them, or -1.
int http_error_index(uint32_t status);

}  // namespace rl
