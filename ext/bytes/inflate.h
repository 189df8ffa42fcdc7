// Takes the codings of Content-Encoding off a body: gzip, deflate (with and without zlib's frame) and br, in a chain,
// within limits on size and ratio.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

// Decoders and their memory, for one thread; kept between bodies.
typedef struct rl_inflater rl_inflater;

enum {
  RL_INFLATE_OK = 0,
  RL_INFLATE_TOO_LARGE = -1,  // more than limit bytes
  RL_INFLATE_RATIO = -2,      // more than ratio bytes for each of the body
  RL_INFLATE_BROKEN = -3,     // not what the coding says, or bytes behind its end
  RL_INFLATE_CUT = -4,        // the body ends too early
  RL_INFLATE_UNKNOWN = -5,    // another coding, or more than RL_INFLATE_CODINGS
};

enum {
  RL_INFLATE_CODINGS = 3,
  RL_INFLATE_FREE_BYTES = 65536,       // what a body may always grow to, whatever the ratio
  RL_INFLATE_MEMORY_BYTES = 40 << 20,  // of a br decoder: a window is up to 16 MiB
};

typedef struct rl_inflate_limits {
  uint32_t size;   // bytes that any step of the chain may make
  uint32_t ratio;  // bytes that any step may make for each byte of the body
} rl_inflate_limits;

// NULL without memory.
rl_inflater *rl_inflater_new(void);
void rl_inflater_free(rl_inflater *inflater);
// Bytes of the buffer that rl_inflate wants.
uint64_t rl_inflate_room(uint32_t size_limit);
// Decodes a body by the value of Content-Encoding (several headers joined by commas), the last coding first. out: into
// the buffer, or the body itself when there is nothing to take off or it is empty. After an error it holds what the
// last step made until then, empty when it was not the last.
int rl_inflate(rl_inflater *inflater, rl_view content_encoding, rl_view body, const rl_inflate_limits *limits,
               char *buffer, rl_view *out);

#ifdef __cplusplus
}
#endif
