// rl_inflate and gzip_inflate: nothing grows beyond its limits, whatever the codings.
#include "bytes/inflate.h"

#include "fuzz.h"
#include "wire/gzip.h"

using fuzz::Block;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rl_inflater *inflater = rl_inflater_new();
  fuzz::Input input(data, size);
  const uint32_t limit = 256u * input.byte();
  const rl_inflate_limits limits = {limit, 1u + input.byte()};
  const Block coding = input.piece(), body = input.rest();
  Block buffer(rl_inflate_room(limit));
  rl_view out = {};
  const int status = rl_inflate(inflater, coding.view(), body.view(), &limits, buffer.data.get(), &out);
  MUST(status <= RL_INFLATE_OK && status >= RL_INFLATE_UNKNOWN);
  MUST(buffer.holds(out) || body.holds(out));
  MUST(out.data == body.data.get() || out.size <= limit);
  rl::Buffer inflated;
  rl::gzip_inflate(body.view(), limit, &inflated);
  MUST(inflated.size() <= limit);
  return 0;
}
