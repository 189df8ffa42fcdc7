#include "wire/http2.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>

#include "wire/http2_events.h"

namespace rl {
namespace {

enum : int32_t { kStreamWindow = 65535, kConnectionWindow = 4 << 20 };
enum : size_t { kMinBuffered = 1 << 20, kMinBufferedInAll = 64 << 20, kKeptBody = 4 << 10 };
enum : uint32_t { kKeptStreams = 2048, kMaxAcks = 128, kMaxContinuations = 8 };
// Ignored bytes (unknown frames, DATA of streams that are over) that cost the peer one control token.
enum : int64_t { kIgnoredPerToken = 1024 };
constexpr uint8_t kShutdownPing[8] = {'r', 'l', 'd', 'r', 'a', 'i', 'n', 0};

size_t size_of(const Http2Stream &stream) {
  return sizeof stream + stream.body.capacity() + stream.fields.capacity() + stream.output.capacity();
}

void put32(char *at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<char>(value >> (24 - 8 * i));
}

}  // namespace

Http2Context::Http2Context(const Http2Options &given, const Http2Handler &h, WireCounters *c)
    : options(given), handler(h), counters(c) {
  if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) return;
  Http2Events::install(callbacks);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_max_outbound_ack(option, kMaxAcks);
  nghttp2_option_set_max_continuations(option, kMaxContinuations);
  // Our own count tells resets of open streams from late ones, and answers ENHANCE_YOUR_CALM.
  nghttp2_option_set_stream_reset_rate_limit(option, 1 << 20, 1 << 20);
}

Http2Context::~Http2Context() {
  while (free_) delete_free_stream();
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
}

size_t Http2Context::max_buffered() const {
  return std::max<size_t>(kMinBuffered, 4 * (size_t{options.max_message} + kPrefixSize));
}

size_t Http2Context::max_buffered_in_all() const { return std::max<size_t>(kMinBufferedInAll, 4 * max_buffered()); }

Http2Stream *Http2Context::take_stream() {
  if (!free_) return new (std::nothrow) Http2Stream;
  Http2Stream *stream = free_;
  free_ = stream->next;
  --free_count_;
  free_bytes_ -= size_of(*stream);
  return stream;
}

void Http2Context::delete_free_stream() { delete take_stream(); }

void Http2Context::shrink(size_t keep, size_t most) {
  const size_t until = std::max(keep, idle() - std::min(idle(), most));
  pool.shrink(keep / 2, most);
  while (free_ && idle() > until) delete_free_stream();
}

void Http2Context::give_stream(Http2Stream *stream) {
  stream->body.clear();
  stream->body.shrink(kKeptBody);
  stream->fields.clear();
  stream->fields.shrink(kKeptBody);
  stream->output.clear();
  stream->output.shrink(kKeptBody);
  if (free_count_ >= kKeptStreams) {
    delete stream;
    return;
  }
  stream->next = free_;
  free_ = stream;
  ++free_count_;
  free_bytes_ += size_of(*stream);
}

Http2Connection::Http2Connection(Http2Context *context) : context_(context) {}

Http2Connection::~Http2Connection() {
  nghttp2_session_del(session_);
  while (first_) {
    Http2Stream *stream = first_;
    first_ = stream->next;
    context_->buffered -= stream->body.size() + (stream->method == Method::kHttp ? stream->fields.size() : 0);
    context_->give_stream(stream);
  }
}

bool Http2Connection::open(int64_t now_ns) {
  now_ns_ = opened_ns_ = received_ns_ = now_ns;
  if (nghttp2_session_server_new3(&session_, context_->callbacks, this, context_->option, context_->pool.mem()) != 0) {
    session_ = nullptr;
    return false;
  }
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, context_->options.max_streams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, context_->options.max_header_list},
      // Nobody orders gRPC calls by priority; without the tree of RFC 7540 streams are cheaper.
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0 &&
         nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0;
}

void Http2Connection::recv(const char *bytes, size_t size, int64_t now_ns) {
  if (doomed_) return;
  now_ns_ = received_ns_ = now_ns;
  control_.refill(now_ns);
  resets_.refill(now_ns);
  ignored_ += static_cast<int64_t>(size);
  const ssize_t rc = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t *>(bytes), size);
  if (rc < 0) {
    switch (rc) {
      case NGHTTP2_ERR_CALLBACK_FAILURE:  // we gave the reason already, unless it was memory
        doom(NGHTTP2_INTERNAL_ERROR, -1);
        break;
      case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        doom(NGHTTP2_PROTOCOL_ERROR, RL_ABUSE_PROTOCOL_ERROR);
        break;
      case NGHTTP2_ERR_FLOODED:
        doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_CONTROL_FLOOD);
        break;
      case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
        doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_HEADER_BOMB);
        break;
      default:
        doom(NGHTTP2_INTERNAL_ERROR, -1);
    }
    return;
  }
  keep_borrowed();
  // Not before: calls that were on their way already may follow the confirmation in the same read.
  if (confirmed_ && leaving_ == Leaving::kNotice) finish_shutdown();
  if (consumed_ > 0) {
    if (nghttp2_session_consume_connection(session_, consumed_) != 0) doom(NGHTTP2_INTERNAL_ERROR, -1);
    consumed_ = 0;
  }
  if (ignored_ >= kIgnoredPerToken) {
    if (!control_.spend(static_cast<int32_t>(ignored_ / kIgnoredPerToken))) {
      doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_CONTROL_FLOOD);
    }
    ignored_ %= kIgnoredPerToken;
  }
}

bool Http2Connection::send(Buffer *out, size_t limit, int64_t now_ns) {
  now_ns_ = now_ns;
  bool more = false;
  while (!doomed_) {
    if (out->size() >= limit) {
      more = nghttp2_session_want_write(session_) != 0;
      break;
    }
    const uint8_t *data;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n == 0) break;
    if (n < 0) {
      doom(NGHTTP2_INTERNAL_ERROR, -1);
      break;
    }
    settings_sent_ = true;
    out->append(data, static_cast<size_t>(n));
  }
  keep_answers();
  if (doomed_ && !last_words_said_) write_last_words(out);
  return more;
}

bool Http2Connection::finished() const {
  if (doomed_) return last_words_said_;
  return !nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_);
}

int Http2Connection::doom(uint32_t code, int abuse) {
  if (!doomed_) {
    doomed_ = true;
    doom_code_ = code;
    last_stream_id_ = nghttp2_session_get_last_proc_stream_id(session_);
    if (abuse >= 0) context_->counters->abuse[abuse].add(1);
  }
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

// nghttp2 does not speak after a fatal error, so the GOAWAY is written by hand.
void Http2Connection::write_last_words(Buffer *out) {
  last_words_said_ = true;
  char frames[9 + 17] = {};
  frames[3] = NGHTTP2_SETTINGS;  // must come first (RFC 9113 3.4); empty
  char *goaway = frames + 9;
  goaway[2] = 8;
  goaway[3] = NGHTTP2_GOAWAY;
  put32(goaway + 9, static_cast<uint32_t>(last_stream_id_));
  put32(goaway + 13, doom_code_);
  if (settings_sent_) {
    out->append(goaway, 17);
  } else {
    out->append(frames, sizeof frames);
  }
}

void Http2Connection::begin_shutdown() {
  if (doomed_ || leaving_ != Leaving::kNo) return;
  leaving_ = Leaving::kNotice;
  if (nghttp2_submit_shutdown_notice(session_) != 0 ||
      nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kShutdownPing) != 0) {
    doom(NGHTTP2_INTERNAL_ERROR, -1);
  }
}

void Http2Connection::finish_shutdown() {
  if (doomed_ || leaving_ == Leaving::kFinal) return;
  leaving_ = Leaving::kFinal;
  for (Http2Stream *s = first_; s; s = s->next) {
    if (s->headers_done && streams_answers(s->method))
      fail(s, Status::kUnavailable, "the server is leaving this connection");
  }
  const int32_t last = nghttp2_session_get_last_proc_stream_id(session_);
  if (nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0) != 0) {
    doom(NGHTTP2_INTERNAL_ERROR, -1);
  }
}

void Http2Connection::take_ping_answer(const uint8_t *opaque) {
  if (std::memcmp(opaque, kShutdownPing, sizeof kShutdownPing) == 0) confirmed_ = true;
}

void Http2Connection::abort(int abuse) { doom(NGHTTP2_ENHANCE_YOUR_CALM, abuse); }

bool Http2Connection::expire(int64_t now_ns, int64_t stall_ns) {
  if (doomed_) return false;
  const int64_t oldest = now_ns - stall_ns;
  if (!greeted_) return opened_ns_ <= oldest;
  for (Http2Stream *s = first_; s; s = s->next) {
    if (s->ended || !s->output.empty()) {
      if (s->answered_ns <= oldest) return true;
      continue;
    }
    const bool between_messages = s->headers_done && streams_requests(s->method) && s->body.empty();
    if (s->half_closed || between_messages || s->arrived_ns > oldest) continue;
    if (!s->headers_done || received_ns_ <= oldest) return true;
    context_->counters->abuse[RL_ABUSE_STALLED].add(1);
    now_ns_ = now_ns;
    fail(s, Status::kDeadlineExceeded, "the request did not arrive in time");
  }
  return false;
}

}  // namespace rl
