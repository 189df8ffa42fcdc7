#include "bytes/inflate.h"

#include <brotli/decode.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

enum Coding : uint8_t { kIdentity, kGzip, kDeflate, kBr, kUnknown };

// The memory of brotli's decoder, which has no reset: its blocks are kept for the next one, but for large windows.
struct Blocks {
  static constexpr size_t kBlocks = 32, kKeptBytes = 1 << 20;

  struct Header {
    size_t size;
    size_t padding;
  };

  Header *kept[kBlocks];
  size_t count;
  size_t bytes;  // kept and lent

  static void *take(void *self, size_t size) { return static_cast<Blocks *>(self)->take(size); }
  static void give(void *self, void *block) { static_cast<Blocks *>(self)->give(block); }

  // The smallest that is large enough and not four times too large.
  void *take(size_t size) {
    size_t best = count;
    for (size_t i = 0; i < count; ++i) {
      if (kept[i]->size < size || kept[i]->size / 4 > size) continue;
      if (best == count || kept[i]->size < kept[best]->size) best = i;
    }
    if (best < count) {
      Header *block = kept[best];
      kept[best] = kept[--count];
      return block + 1;
    }
    while (count > 0 && bytes + size > RL_INFLATE_MEMORY_BYTES) drop(kept[--count]);
    if (size > RL_INFLATE_MEMORY_BYTES || bytes + size > RL_INFLATE_MEMORY_BYTES) return nullptr;
    Header *block = static_cast<Header *>(std::malloc(sizeof(Header) + size));
    if (!block) return nullptr;
    block->size = size;
    bytes += size;
    return block + 1;
  }

  void give(void *memory) {
    if (!memory) return;
    Header *block = static_cast<Header *>(memory) - 1;
    if (count < kBlocks && block->size <= kKeptBytes) {
      kept[count++] = block;
    } else {
      drop(block);
    }
  }

  void drop(Header *block) {
    bytes -= block->size;
    std::free(block);
  }
};

}  // namespace
}  // namespace rl

struct rl_inflater {
  z_stream zlib;
  rl::Blocks blocks;
};

namespace rl {
namespace {

struct Step {
  rl_view in;
  char *out;
  uint32_t room;  // one byte more than may be used
  uint32_t size;  // used
};

bool is_word(const char *begin, const char *end, const char *word) {
  if (static_cast<size_t>(end - begin) != std::strlen(word)) return false;
  for (; begin != end; ++begin, ++word) {
    if (to_lower(*begin) != *word) return false;
  }
  return true;
}

Coding coding_of(const char *begin, const char *end) {
  while (begin != end && is_blank(*begin)) ++begin;
  while (begin != end && is_blank(end[-1])) --end;
  if (begin == end || is_word(begin, end, "identity")) return kIdentity;
  if (is_word(begin, end, "gzip") || is_word(begin, end, "x-gzip")) return kGzip;
  if (is_word(begin, end, "deflate")) return kDeflate;
  if (is_word(begin, end, "br")) return kBr;
  return kUnknown;
}

// The codings in the order they were applied; -1 for one that is unknown or too much.
int read_codings(rl_view header, Coding *codings) {
  int count = 0;
  const char *at = header.data, *end = at + header.size;
  while (at != end) {
    const void *comma = std::memchr(at, ',', static_cast<size_t>(end - at));
    const char *stop = comma ? static_cast<const char *>(comma) : end;
    Coding coding = coding_of(at, stop);
    if (coding == kUnknown || (coding != kIdentity && count == RL_INFLATE_CODINGS)) return -1;
    if (coding != kIdentity) codings[count++] = coding;
    at = stop == end ? end : stop + 1;
  }
  return count;
}

// RFC 1950: what begins otherwise is taken for bare deflate data, as browsers do.
bool has_zlib_header(rl_view in) {
  if (in.size < 2) return true;
  unsigned method = static_cast<uint8_t>(in.data[0]), flags = static_cast<uint8_t>(in.data[1]);
  return (method & 15) == 8 && (method << 8 | flags) % 31 == 0;
}

bool has_gzip_header(const z_stream &zlib) {
  return zlib.avail_in >= 2 && zlib.next_in[0] == 0x1f && zlib.next_in[1] == 0x8b;
}

int read_zlib(rl_inflater *inflater, Step *step, Coding coding) {
  z_stream &zlib = inflater->zlib;
  int bits = coding == kGzip ? 15 + 16 : has_zlib_header(step->in) ? 15 : -15;
  if (inflateReset2(&zlib, bits) != Z_OK) return RL_INFLATE_BROKEN;
  zlib.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(step->in.data));
  zlib.avail_in = step->in.size;
  zlib.next_out = reinterpret_cast<Bytef *>(step->out);
  zlib.avail_out = step->room;
  for (;;) {
    int result = inflate(&zlib, Z_NO_FLUSH);
    step->size = step->room - zlib.avail_out;
    if (zlib.avail_out == 0) return RL_INFLATE_TOO_LARGE;
    if (result == Z_OK && zlib.avail_in > 0) continue;
    if (result == Z_OK || result == Z_BUF_ERROR) return RL_INFLATE_CUT;
    if (result != Z_STREAM_END) return RL_INFLATE_BROKEN;
    if (zlib.avail_in == 0) return RL_INFLATE_OK;
    // A gzip file may have several members, each of at least 18 bytes.
    if (coding != kGzip || !has_gzip_header(zlib) || inflateReset(&zlib) != Z_OK) return RL_INFLATE_BROKEN;
  }
}

int read_br(rl_inflater *inflater, Step *step) {
  BrotliDecoderState *state = BrotliDecoderCreateInstance(Blocks::take, Blocks::give, &inflater->blocks);
  if (!state) return RL_INFLATE_BROKEN;
  size_t in_left = step->in.size, out_left = step->room;
  const uint8_t *in = reinterpret_cast<const uint8_t *>(step->in.data);
  uint8_t *out = reinterpret_cast<uint8_t *>(step->out);
  BrotliDecoderResult result = BrotliDecoderDecompressStream(state, &in_left, &in, &out_left, &out, nullptr);
  step->size = step->room - static_cast<uint32_t>(out_left);
  BrotliDecoderDestroyInstance(state);
  if (out_left == 0) return RL_INFLATE_TOO_LARGE;
  if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT) return RL_INFLATE_CUT;
  return result == BROTLI_DECODER_RESULT_SUCCESS && in_left == 0 ? RL_INFLATE_OK : RL_INFLATE_BROKEN;
}

}  // namespace
}  // namespace rl

rl_inflater *rl_inflater_new(void) {
  rl_inflater *inflater = static_cast<rl_inflater *>(std::calloc(1, sizeof(rl_inflater)));
  if (inflater && inflateInit2(&inflater->zlib, 15) != Z_OK) {
    std::free(inflater);
    return nullptr;
  }
  return inflater;
}

void rl_inflater_free(rl_inflater *inflater) {
  if (!inflater) return;
  inflateEnd(&inflater->zlib);
  while (inflater->blocks.count > 0) inflater->blocks.drop(inflater->blocks.kept[--inflater->blocks.count]);
  std::free(inflater);
}

uint64_t rl_inflate_room(uint32_t size_limit) { return 2 * (static_cast<uint64_t>(size_limit) + 1); }

int rl_inflate(rl_inflater *inflater, rl_view content_encoding, rl_view body, const rl_inflate_limits *limits,
               char *buffer, rl_view *out) {
  *out = {body.data, 0};
  if (body.size == 0) return RL_INFLATE_OK;
  rl::Coding codings[RL_INFLATE_CODINGS];
  int count = rl::read_codings(content_encoding, codings);
  if (count < 0) return RL_INFLATE_UNKNOWN;
  uint64_t ratio_limit = std::max<uint64_t>(RL_INFLATE_FREE_BYTES, static_cast<uint64_t>(limits->ratio) * body.size);
  uint32_t allowed = static_cast<uint32_t>(std::min<uint64_t>({limits->size, ratio_limit, UINT32_MAX - 1}));
  rl_view in = body;
  for (int i = count; i-- > 0;) {
    rl::Step step = {in, buffer + (i & 1) * (static_cast<size_t>(limits->size) + 1), allowed + 1, 0};
    int result = codings[i] == rl::kBr ? rl::read_br(inflater, &step) : rl::read_zlib(inflater, &step, codings[i]);
    in = {step.out, std::min(step.size, allowed)};
    if (result == RL_INFLATE_TOO_LARGE && ratio_limit < limits->size) result = RL_INFLATE_RATIO;
    if (result != RL_INFLATE_OK) {
      if (i == 0) *out = in;
      return result;
    }
  }
  *out = in;
  return RL_INFLATE_OK;
}
