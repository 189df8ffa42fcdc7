#include "wire/http2_events.h"

namespace rl {
namespace {

// DATA frames below this size that do not end a stream cost their sender a control token.
enum : size_t { kSmallData = 64 };

Http2Connection *connection(void *self) { return static_cast<Http2Connection *>(self); }

rl_view view(const uint8_t *data, size_t size) {
  return {reinterpret_cast<const char *>(data), static_cast<uint32_t>(size)};
}

// Does this frame of ours say that the peer broke the protocol?
bool is_complaint(const nghttp2_frame *frame) {
  if (frame->hd.type == NGHTTP2_GOAWAY) return frame->goaway.error_code != NGHTTP2_NO_ERROR;
  if (frame->hd.type != NGHTTP2_RST_STREAM) return false;
  const uint32_t code = frame->rst_stream.error_code;
  return code != NGHTTP2_NO_ERROR && code != NGHTTP2_REFUSED_STREAM && code != NGHTTP2_STREAM_CLOSED;
}

}  // namespace

void Http2Events::install(nghttp2_session_callbacks *callbacks) {
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

int Http2Events::on_begin_frame(nghttp2_session *, const nghttp2_frame_hd *header, void *self) {
  Http2Connection *c = connection(self);
  c->ignored_ -= static_cast<int64_t>(header->length) + 9;
  switch (header->type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_RST_STREAM:  // counted when we know whose it is
      return 0;
    case NGHTTP2_DATA:
      if (header->length >= kSmallData || (header->flags & NGHTTP2_FLAG_END_STREAM)) return 0;
      break;
    default:
      break;
  }
  return c->control_.spend() ? 0 : c->doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_CONTROL_FLOOD);
}

int Http2Events::on_begin_headers(nghttp2_session *, const nghttp2_frame *frame, void *self) {
  Http2Connection *c = connection(self);
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) return c->begin_stream(frame->hd.stream_id);
  c->heading_ = c->find(frame->hd.stream_id);
  return 0;
}

int Http2Events::on_header(nghttp2_session *, const nghttp2_frame *, const uint8_t *name, size_t name_size,
                           const uint8_t *value, size_t value_size, uint8_t, void *self) {
  return connection(self)->take_header(view(name, name_size), view(value, value_size));
}

int Http2Events::on_data(nghttp2_session *, uint8_t, int32_t id, const uint8_t *data, size_t size, void *self) {
  Http2Connection *c = connection(self);
  c->consumed_ += size;
  if (Http2Stream *stream = c->find(id)) c->take_data(stream, view(data, size));
  return c->doomed_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int Http2Events::on_frame(nghttp2_session *, const nghttp2_frame *frame, void *self) {
  Http2Connection *c = connection(self);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      Http2Stream *stream = c->find(frame->hd.stream_id);
      if (!stream) break;
      if (!stream->headers_done) c->finish_headers(stream);
      if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) c->finish_request(stream);
      break;
    }
    case NGHTTP2_RST_STREAM:
      // A reset of a call that we still work for is how a peer makes us work for nothing (CVE-2023-44487); a late one
      // is only noise.
      if (c->find(frame->hd.stream_id)) {
        if (!c->resets_.spend()) return c->doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_RAPID_RESET);
      } else if (!c->control_.spend()) {
        return c->doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_CONTROL_FLOOD);
      }
      break;
    case NGHTTP2_SETTINGS:
      c->greeted_ = true;
      break;
    case NGHTTP2_PING:
      if (frame->hd.flags & NGHTTP2_FLAG_ACK) c->take_ping_answer(frame->ping.opaque_data);
      break;
    default:
      break;
  }
  return c->doomed_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

// Counted where its consequence, an RST_STREAM or a GOAWAY, leaves.
int Http2Events::on_invalid_frame(nghttp2_session *, const nghttp2_frame *frame, int, void *self) {
  Http2Connection *c = connection(self);
  // grpc-go names its own last stream instead of ours when it hangs up. nghttp2 objects, but nobody was harmed.
  c->parting_ |= frame->hd.type == NGHTTP2_GOAWAY;
  return c->control_.spend() ? 0 : c->doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_CONTROL_FLOOD);
}

int Http2Events::on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *self) {
  Http2Connection *c = connection(self);
  if (is_complaint(frame) && !c->parting_) c->context_->counters->abuse[RL_ABUSE_PROTOCOL_ERROR].add(1);
  if (c->early_count_ == 0 || frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
    return 0;
  Http2Stream *stream = c->find(frame->hd.stream_id);
  if (!stream || !stream->early) return 0;
  // The status is out; tell the client to stop sending (RFC 9113 8.1).
  stream->early = false;
  --c->early_count_;
  const int rc = nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  return nghttp2_is_fatal(rc) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int Http2Events::on_stream_close(nghttp2_session *, int32_t id, uint32_t, void *self) {
  Http2Connection *c = connection(self);
  if (Http2Stream *stream = c->find(id)) c->close_stream(stream);
  return 0;
}

ssize_t Http2Events::on_read_answer(nghttp2_session *, int32_t, uint8_t *to, size_t size, uint32_t *flags,
                                    nghttp2_data_source *source, void *self) {
  Http2Connection *c = connection(self);
  auto *stream = static_cast<Http2Stream *>(source->ptr);
  const size_t n = c->read_answer(stream, to, size);
  if (stream->answer_size > 0 || !stream->output.empty()) return static_cast<ssize_t>(n);
  if (stream->ended) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->method == Method::kHttp) return static_cast<ssize_t>(n);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (!c->submit_trailers(stream)) return NGHTTP2_ERR_CALLBACK_FAILURE;
  } else if (n == 0) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(n);
}

}  // namespace rl
