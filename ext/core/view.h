// A view: bytes that somebody else owns. The one way that text travels through the data plane.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct rl_view {
  const char *data;  // not terminated; may be NULL when size is 0
  uint32_t size;
} rl_view;

// A name and its value. Names of headers are lower-case.
typedef struct rl_pair {
  rl_view name;
  rl_view value;
} rl_pair;
