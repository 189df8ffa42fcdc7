// A pull reader of multipart bodies (RFC 2046, RFC 7578). What readers of such bodies disagree on is let pass but told:
// `doubtful`.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rl_part {
  rl_view name;  // as written between the quotes
  rl_view filename;
  rl_view filename_star;  // filename*: still percent-encoded, behind the charset
  rl_view content;
  uint8_t is_file;  // has a file name, even an empty one
} rl_part;

typedef struct rl_multipart {
  rl_view body;
  rl_view boundary;
  uint32_t at;  // next byte to read; after an error: the start of what was not read
  uint8_t started;
  uint8_t doubtful;  // a preamble or an epilogue, a line that only begins like a boundary, a repeated parameter, an
                     // encoded part, ...
} rl_multipart;

enum { RL_BOUNDARY_BYTES = 200 };

// The boundary of a Content-Type. 1; 0 when there is none or it is too long; -1 when there are several (the first is
// given).
int rl_multipart_boundary(rl_view content_type, rl_view *boundary);
void rl_multipart_start(rl_multipart *reader, rl_view body, rl_view boundary);
// The next part. 1, 0 behind the closing boundary, -1 when the body is malformed or cut. Views are into the body.
int rl_multipart_next(rl_multipart *reader, rl_part *part);

#ifdef __cplusplus
}
#endif
