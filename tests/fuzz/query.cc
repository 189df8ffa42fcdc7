// Query strings, cookies and paths: pairs lie in their text and come to an end, decoded text fits.
#include "bytes/query.h"

#include "bytes/pairs.h"
#include "bytes/uri.h"
#include "fuzz.h"

using fuzz::Block;

namespace {

template <typename Next>
void walk(const Block &text, Next next) {
  uint32_t cursor = 0;
  rl_pair pair;
  for (size_t count = 0; next(&cursor, &pair); ++count) {
    MUST(count <= text.size);
    MUST(text.holds(pair.name) && text.holds(pair.value));
    Block room(pair.value.size);
    int invalid = 0;
    const rl_view value = rl_pairs_decode(pair.value, room.data.get(), &invalid);
    MUST(room.holds(value) || text.holds(value));
    Block decoded(pair.value.size);
    MUST(rl_url_decode(pair.value, decoded.data.get()) <= decoded.size);
  }
}

void read_target(const Block &text) {
  rl_view path, query;
  rl_target_split(text.view(), &path, &query);
  MUST(text.holds(path) && text.holds(query));
  Block normal(text.size + 1);
  const uint32_t size = rl_path_normalize(text.view(), normal.data.get());
  MUST(size >= 1 && size <= normal.size && normal.data[0] == '/');
}

void read_uri(const Block &text) {
  Block buffer(text.size);
  rl_uri uri;
  rl_uri_read(text.view(), buffer.data.get(), &uri);
  MUST(text.holds(uri.query));
  MUST(buffer.holds(uri.uri) || text.holds(uri.uri));
  MUST(buffer.holds(uri.filename) || text.holds(uri.filename));
  MUST(buffer.holds(uri.basename) || text.holds(uri.basename));
  MUST(uri.basename.size <= uri.filename.size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const Block text(data, size);
  walk(text, [&](uint32_t *cursor, rl_pair *out) { return rl_query_next(text.view(), cursor, out); });
  walk(text, [&](uint32_t *cursor, rl_pair *out) { return rl_cookie_next(text.view(), cursor, out); });
  walk(text, [&](uint32_t *cursor, rl_pair *out) { return rl_pairs_next(text.view(), '&', cursor, out); });
  walk(text, [&](uint32_t *cursor, rl_pair *out) { return rl_pairs_cookie(text.view(), cursor, out); });
  read_target(text);
  read_uri(text);
  return 0;
}
