// A pull reader that turns JSON into ModSecurity 3.0.15's arguments: "json.a.b", "json.a.array_0", one for each scalar.
// It accepts and refuses what YAJL 2 does there (REQBODY_ERROR), and its arguments are those that YAJL's would be up to
// the error. Depth, the bytes of all names together and time are bounded; nothing is allocated.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  RL_JSON_ARGS_LEAF = 1,
  RL_JSON_ARGS_END = 0,
  RL_JSON_ARGS_INVALID = -1,  // not JSON, or cut
  RL_JSON_ARGS_DEEP = -2,     // more than depth_limit levels (SecRequestBodyJsonDepthLimit)
  RL_JSON_ARGS_WORDY = -3,    // the names together are longer than name_limit: ModSecurity has no such limit
};

typedef struct rl_json_level {
  uint32_t path_size;  // length of the name in front of this level's own key or index
  uint32_t index;      // of the next element
  uint8_t array;
} rl_json_level;

typedef struct rl_json_args {
  rl_view text;
  uint32_t at;  // next byte to read; after an error: near what was not read
  char *path;
  char *strings;
  rl_json_level *levels;
  uint32_t depth_limit;
  uint32_t path_size;
  uint32_t depth;
  uint64_t names_left;
  uint8_t state;
  int8_t result;  // that ended the reading
} rl_json_args;

// Bytes of the buffer that rl_json_args_start wants.
uint64_t rl_json_args_room(uint32_t text_size, uint32_t depth_limit);
// levels: room for depth_limit of them. name_limit: bytes that all names together may have; long keys above many values
// make them grow with the square of the text. An empty text is no error and has no arguments.
void rl_json_args_start(rl_json_args *reader, rl_view text, char *buffer, rl_json_level *levels, uint32_t depth_limit,
                        uint64_t name_limit);
// The next argument. Its name is valid until the next call; its value (strings unescaped, numbers as written, null
// empty) as long as text and buffer.
int rl_json_args_next(rl_json_args *reader, rl_pair *leaf);

#ifdef __cplusplus
}
#endif
