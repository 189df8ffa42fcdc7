// Base64 (RFC 4648) as protobuf's JSON mapping has it: written in the standard alphabet with padding, read in that or
// the URL-safe one, with padding or without.
#pragma once
#include <cstddef>

#include "core/view.h"

namespace rl {

inline size_t base64_size(size_t size) { return (size + 2) / 3 * 4; }
// Writes base64_size(from.size) bytes; returns their end.
char *write_base64(char *to, rl_view from);
// Reads into `to`, which has text.size * 3 / 4 bytes of room. False: it is not base64.
bool read_base64(rl_view text, char *to, rl_view *out);

}  // namespace rl
