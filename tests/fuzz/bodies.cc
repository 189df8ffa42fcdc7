// The readers of pattern rules: JSON (RFC 8259) and multipart (RFC 2046).
#include "bytes/json.h"
#include "bytes/multipart.h"
#include "fuzz.h"

using fuzz::Block;

namespace {

void read_json(const Block &text) {
  Block buffer(2 * text.size);
  rl_json reader;
  rl_json_start(&reader, text.view(), buffer.data.get());
  rl_pair leaf;
  for (size_t count = 0; rl_json_next(&reader, &leaf) == RL_JSON_LEAF; ++count) {
    MUST(count <= text.size);
    MUST(buffer.holds(leaf.name));
    MUST(buffer.holds(leaf.value) || text.holds(leaf.value));
  }
}

void read_multipart(const Block &type, const Block &body) {
  rl_view boundary;
  if (!rl_multipart_boundary(type.view(), &boundary)) return;
  MUST(type.holds(boundary) && boundary.size <= RL_BOUNDARY_BYTES);
  rl_multipart reader;
  rl_multipart_start(&reader, body.view(), boundary);
  rl_part part = {};
  for (size_t count = 0; rl_multipart_next(&reader, &part) == 1; ++count) {
    MUST(count <= body.size);
    for (rl_view view : {part.name, part.filename, part.filename_star, part.content}) MUST(body.holds(view));
  }
  MUST(reader.at <= body.size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  read_json(Block(data, size));
  fuzz::Input input(data, size);
  const Block type = input.piece(), body = input.rest();
  read_multipart(type, body);
  return 0;
}
