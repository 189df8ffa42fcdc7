// Named values of one request (a query string, its cookies): read once, then found by name in constant time however
// many there are.
#pragma once
#include "core/request.h"
#include "match/arena.h"

namespace rl {

struct Fields {
  const rl_pair *pairs;
  uint32_t count;
  uint32_t mask;          // slots - 1, or 0 when a few pairs are just walked
  const uint32_t *slots;  // index + 1 by hash of the name; 0 is empty
  uint64_t seed;
};

// Names and values percent- and plus-decoded. Empty when out of memory.
Fields fields_of_query(Arena *arena, rl_view query, uint64_t seed);
// All Cookie headers, as sent.
Fields fields_of_cookies(Arena *arena, const rl_request *request, uint64_t seed);
// The first value of that name. 1 or 0.
int fields_find(const Fields *fields, rl_view name, rl_view *out);

}  // namespace rl
