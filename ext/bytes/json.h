// A pull reader of JSON (RFC 8259): every leaf with the dotted name of where it stands. Elements of an array have the
// array's name; an empty object or array is a leaf without a value, so that no key goes unseen. Control bytes in
// strings and a byte order mark are let pass. Depth is bounded, time is linear, nothing is allocated.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RL_JSON_DEPTH = 32 };

enum {
  RL_JSON_LEAF = 1,
  RL_JSON_END = 0,
  RL_JSON_INVALID = -1,
  RL_JSON_DEEP = -2,  // more than RL_JSON_DEPTH levels
};

typedef struct rl_json {
  rl_view text;
  uint32_t at;    // next byte to read; after an error: the start of what was not read
  char *path;     // the dotted name so far
  char *strings;  // where unescaped strings go
  uint32_t path_size;
  uint32_t strings_size;
  uint32_t depth;
  uint32_t marks[RL_JSON_DEPTH];  // length of the name in front of each level
  uint8_t arrays[RL_JSON_DEPTH];  // the level is an array
  uint8_t state;
} rl_json;

// buffer: room for 2 * text.size bytes, which must live as long as the values.
void rl_json_start(rl_json *reader, rl_view text, char *buffer);
// The next leaf. Its name is valid until the next call, its value (strings unescaped, other scalars as written) as long
// as text and buffer.
int rl_json_next(rl_json *reader, rl_pair *leaf);

#ifdef __cplusplus
}
#endif
