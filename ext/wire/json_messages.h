// ratelimitd.v1 in protobuf's JSON mapping (https://protobuf.dev/programming-guides/json): names in lowerCamelCase or
// as in the .proto, bytes in base64, 64-bit numbers as strings, enums by name, defaults left out of answers.
//
// Beyond it, `headers` may be an object of names and texts: {"user-agent": "curl/8"}. Stricter than it, a name that the
// contract does not know is an error, as is one given twice.
#pragma once
#include "wire/json.h"
#include "wire/messages.h"

namespace rl {

// CheckRequest. Errors name the field; their text is static or in the arena.
DecodeError decode_check_json(rl_view bytes, RequestArena *arena, rl_request *out);
// CheckResponse; appended.
void encode_check_json(const rl_verdict &verdict, Buffer *out);

// CheckBatchRequest: one request after the other.
class JsonBatch {
 public:
  explicit JsonBatch(rl_view bytes) : bytes_(bytes), reader_(bytes, nullptr) {}
  // 1 with *out, 0 at the end, -1 an error. What the arena held before is gone each time.
  int next(RequestArena *arena, rl_request *out, DecodeError *error);

 private:
  DecodeError fail(RequestArena *arena, DecodeError why);

  rl_view bytes_;
  JsonReader reader_;
  uint32_t count_ = 0;
  bool begun_ = false, ended_ = false;
};

}  // namespace rl
