// nghttp2's callbacks: they only find the stream and call Http2Connection.
#pragma once
#include "wire/http2.h"

namespace rl {

struct Http2Events {
  static void install(nghttp2_session_callbacks *callbacks);
  static int on_begin_frame(nghttp2_session *, const nghttp2_frame_hd *header, void *self);
  static int on_begin_headers(nghttp2_session *, const nghttp2_frame *frame, void *self);
  static int on_header(nghttp2_session *, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size, uint8_t flags, void *self);
  static int on_data(nghttp2_session *, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *self);
  static int on_frame(nghttp2_session *, const nghttp2_frame *frame, void *self);
  static int on_invalid_frame(nghttp2_session *, const nghttp2_frame *frame, int error, void *self);
  static int on_frame_sent(nghttp2_session *, const nghttp2_frame *frame, void *self);
  static int on_stream_close(nghttp2_session *, int32_t id, uint32_t code, void *self);
  static ssize_t on_read_answer(nghttp2_session *, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
                                nghttp2_data_source *source, void *self);
};

}  // namespace rl
