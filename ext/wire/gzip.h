// gRPC message compression: gzip with a bound on what comes out.
#pragma once
#include "wire/buffer.h"

namespace rl {

enum class Inflate { kOk, kMalformed, kTooLarge };
// Inflates one gzip stream into *out (appended), at most max bytes. Keeps its zlib state per thread.
Inflate gzip_inflate(rl_view in, size_t max, Buffer *out);

}  // namespace rl
