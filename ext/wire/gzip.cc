#include "wire/gzip.h"

#include <zlib.h>

#include <algorithm>

namespace rl {

namespace {

// zlib's 40 KB of state, one per thread, made at first use and given back when the thread ends.
struct Stream {
  z_stream z{};
  bool ready;

  // 16: a gzip header and trailer; 15: the largest window.
  Stream() : ready(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK) {}
  ~Stream() {
    if (ready) inflateEnd(&z);
  }
};

constexpr size_t kFirstChunk = 4096;

// How much to inflate next: as much again as there is already, so that the buffer doubles, but never past max. At the
// bound a byte is asked for all the same: the trailer may still be unread, and a byte that comes is one too many.
size_t next_chunk(size_t produced, size_t max) {
  return produced == max ? 1 : std::min(max - produced, std::max(kFirstChunk, produced));
}

Inflate inflate_all(z_stream *z, size_t max, Buffer *out) {
  size_t produced = 0;
  for (;;) {
    size_t chunk = next_chunk(produced, max);
    char *to = out->reserve(chunk);
    if (!to) return Inflate::kTooLarge;
    z->next_out = reinterpret_cast<Bytef *>(to);
    z->avail_out = static_cast<uInt>(chunk);
    int result = inflate(z, Z_NO_FLUSH);
    size_t got = chunk - z->avail_out;
    if (produced + got > max) return Inflate::kTooLarge;
    out->commit(got);
    produced += got;
    // Anything behind the end would be hidden from us and seen by others.
    if (result == Z_STREAM_END) return z->avail_in == 0 ? Inflate::kOk : Inflate::kMalformed;
    if (result != Z_OK || (got == 0 && z->avail_in == 0)) return Inflate::kMalformed;
  }
}

}  // namespace

Inflate gzip_inflate(rl_view in, size_t max, Buffer *out) {
  thread_local Stream stream;
  if (!stream.ready || inflateReset(&stream.z) != Z_OK) return Inflate::kTooLarge;
  stream.z.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(in.data));
  stream.z.avail_in = in.size;
  size_t before = out->size();
  Inflate result = inflate_all(&stream.z, max, out);
  if (result != Inflate::kOk) out->truncate(before);
  return result;
}

}  // namespace rl
