// Http2Connection: from header fields and DATA to whole messages.
#include <cstdio>

#include "wire/gzip.h"
#include "wire/http2.h"

namespace rl {
namespace {

// A header list this many times larger than allowed is an attack: no answer, no more decoding.
enum : uint32_t { kBombFactor = 4 };
// When to come back after we were overloaded.
enum : int32_t { kRetryMs = 1000 };
// Control tokens that a new call earns: window updates and pings come along with calls.
enum : int32_t { kTokensPerCall = 4 };

template <size_t N>
bool equals(rl_view text, const char (&literal)[N]) {
  return text.size == N - 1 && std::memcmp(text.data, literal, N - 1) == 0;
}

}  // namespace

Http2Stream *Http2Connection::find(int32_t id) {
  if (current_ && current_->id == id) return current_;
  auto *stream = static_cast<Http2Stream *>(nghttp2_session_get_stream_user_data(session_, id));
  if (stream) current_ = stream;
  return stream;
}

int Http2Connection::begin_stream(int32_t id) {
  Http2Stream *s = context_->take_stream();
  if (!s) return doom(NGHTTP2_INTERNAL_ERROR, -1);
  s->id = id;
  s->method = Method::kUnknown;
  s->encoding = Encoding::kIdentity;
  s->status = Status::kOk;
  s->watching = s->is_post = s->is_grpc = s->bad_timeout = s->too_large = false;
  s->headers_done = s->half_closed = s->opened = s->ended = s->deferred = s->early = s->expects_continue = false;
  s->note = nullptr;
  s->told = -1;
  s->header_bytes = 0;
  s->arrived_ns = now_ns_;
  s->timeout_ns = INT64_MAX;
  s->answered_ns = 0;
  s->borrowed = {};
  s->answer_at = s->answer_size = 0;
  s->next = nullptr;
  s->previous = last_;
  (last_ ? last_->next : first_) = s;
  last_ = s;
  ++stream_count_;
  current_ = heading_ = s;
  path_size_ = 0;
  return nghttp2_session_set_stream_user_data(session_, id, s) == 0 ? 0 : doom(NGHTTP2_INTERNAL_ERROR, -1);
}

int Http2Connection::take_header(rl_view name, rl_view value) {
  Http2Stream *s = heading_;
  if (!s) return 0;
  const uint32_t most = context_->options.max_header_list;
  s->header_bytes += name.size + value.size + 32;
  if (s->header_bytes > most) {
    s->too_large = true;
    return s->header_bytes / kBombFactor < most ? 0 : doom(NGHTTP2_ENHANCE_YOUR_CALM, RL_ABUSE_HEADER_BOMB);
  }
  if (s->headers_done) return 0;  // trailers
  switch (name.size) {
    case 5:
      if (equals(name, ":path")) choose_method(s, value);
      break;
    case 7:
      if (equals(name, ":method")) s->is_post = equals(value, "POST");
      break;
    case 12:
      if (equals(name, "content-type")) {
        s->is_grpc = is_grpc_content_type(value);
      } else if (equals(name, "grpc-timeout")) {
        s->timeout_ns = parse_timeout(value);
        s->bad_timeout = s->timeout_ns < 0;
      }
      break;
    case 13:
      if (equals(name, "grpc-encoding")) s->encoding = parse_encoding(value);
      break;
    default:
      break;
  }
  // Until the path is known a pseudo-header may be one of plain HTTP.
  if (s->method == Method::kHttp || (s->method == Method::kUnknown && name.data[0] == ':')) keep_field(s, name, value);
  return doomed_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

void Http2Connection::finish_headers(Http2Stream *s) {
  s->headers_done = true;
  control_.earn(kTokensPerCall);
  if (s->method == Method::kHttp) return finish_http_headers(s);
  WireCounters *counters = context_->counters;
  if (s->too_large) {
    counters->calls[RL_METHOD_UNKNOWN].add(1);
    counters->abuse[RL_ABUSE_HEADER_BOMB].add(1);
    return fail(s, Status::kResourceExhausted, "the header list is too large");
  }
  if (!s->is_post || !s->is_grpc) {
    counters->calls[RL_METHOD_UNKNOWN].add(1);
    counters->abuse[RL_ABUSE_MALFORMED].add(1);
    return refuse(s, s->method == Method::kUnknown ? "404" : s->is_post ? "415" : "405");
  }
  counters->calls[door_of_method(s->method)].add(1);
  if (leaving_ == Leaving::kFinal)
    return fail(s, Status::kUnavailable, "the server is leaving this connection", {.retry_ms = 0});
  if (s->method == Method::kUnknown) {
    char text[sizeof path_ + 32];
    std::snprintf(text, sizeof text, "unknown method %.*s", static_cast<int>(path_size_), path_);
    return fail(s, Status::kUnimplemented, text);
  }
  if (s->bad_timeout) return fail(s, Status::kInternal, "malformed grpc-timeout");
  if (s->encoding == Encoding::kUnsupported)
    return fail(s, Status::kUnimplemented, "this grpc-encoding is not supported");
}

void Http2Connection::take_data(Http2Stream *s, rl_view bytes) {
  if (s->ended || bytes.size == 0) return;
  if (borrower_) keep_borrowed();
  if (!s->body.empty()) {
    if (!keep(s, bytes)) return;
  } else {
    s->borrowed = bytes;
    borrower_ = s;
  }
  const rl_view all = request_bytes(s);
  if (s->method == Method::kHttp) {
    if (all.size > context_->options.max_message) {
      context_->counters->abuse[RL_ABUSE_OVERSIZED].add(1);
      return refuse(s, "413");
    }
  } else if (streams_requests(s->method)) {
    if (all.size == bytes.size) s->arrived_ns = now_ns_;  // a message begins
    read_messages(s);
  } else if (all.size >= kPrefixSize) {
    const Prefix prefix = read_prefix(all.data);
    if (!check_prefix(s, prefix)) return;
    const size_t whole = kPrefixSize + prefix.length;
    if (all.size > whole) return fail(s, Status::kUnimplemented, "a unary call takes one message");
    if (all.size == whole) return;  // its window is not needed again
  }
  if (!s->ended && nghttp2_session_consume_stream(session_, s->id, bytes.size) != 0) doom(NGHTTP2_INTERNAL_ERROR, -1);
}

rl_view Http2Connection::request_bytes(const Http2Stream *s) const {
  return s->body.empty() ? s->borrowed : rl_view{s->body.data(), static_cast<uint32_t>(s->body.size())};
}

bool Http2Connection::check_prefix(Http2Stream *s, Prefix prefix) {
  if (prefix.length > context_->options.max_message) {
    context_->counters->abuse[RL_ABUSE_OVERSIZED].add(1);
    fail(s, Status::kResourceExhausted, "the message is too large");
    return false;
  }
  if (prefix.compressed > 1) {
    context_->counters->abuse[RL_ABUSE_MALFORMED].add(1);
    fail(s, Status::kInternal, "malformed message prefix");
    return false;
  }
  return true;
}

void Http2Connection::read_messages(Http2Stream *s) {
  for (rl_view all = request_bytes(s); !s->ended && all.size >= kPrefixSize; all = request_bytes(s)) {
    const Prefix prefix = read_prefix(all.data);
    if (!check_prefix(s, prefix)) return;
    const uint32_t whole = kPrefixSize + prefix.length;
    if (all.size < whole) return;
    deliver(s, prefix, {all.data + kPrefixSize, prefix.length});
    if (s->body.empty()) {
      s->borrowed = {all.data + whole, all.size - whole};
    } else {
      s->body.consume(whole);
      buffered_ -= whole;
      context_->buffered -= whole;
    }
  }
}

void Http2Connection::finish_request(Http2Stream *s) {
  s->half_closed = true;
  if (s->early) {
    s->early = false;
    --early_count_;
  }
  if (!s->ended) {
    const rl_view all = request_bytes(s);
    if (s->method == Method::kHttp) {
      finish_http_request(s);
    } else if (streams_requests(s->method)) {
      if (all.size == 0) {
        finish_answer(s, Status::kOk);
      } else {
        fail(s, Status::kInternal, "the last message is cut short");
      }
    } else if (all.size == 0) {
      fail(s, Status::kUnimplemented, "a unary call takes one message");
    } else if (all.size < kPrefixSize || all.size < kPrefixSize + read_prefix(all.data).length) {
      fail(s, Status::kInternal, "the message is cut short");
    } else if (now_ns_ - s->arrived_ns >= s->timeout_ns) {
      context_->counters->deadline_passed.add(1);
      fail(s, Status::kDeadlineExceeded, "the deadline passed before the request was complete");
    } else {
      deliver(s, read_prefix(all.data), {all.data + kPrefixSize, all.size - static_cast<uint32_t>(kPrefixSize)});
    }
  }
  drop_request(s);
}

void Http2Connection::deliver(Http2Stream *s, Prefix prefix, rl_view message) {
  if (!prefix.compressed) return context_->handler.message(context_->handler.self, this, s, message);
  if (s->encoding != Encoding::kGzip) return fail(s, Status::kInternal, "a compressed message needs a grpc-encoding");
  Buffer *inflated = &context_->inflated;
  inflated->clear();
  switch (gzip_inflate(message, context_->options.max_message, inflated)) {
    case Inflate::kOk:
      context_->handler.message(context_->handler.self, this, s,
                                {inflated->data(), static_cast<uint32_t>(inflated->size())});
      break;
    case Inflate::kMalformed:
      context_->counters->abuse[RL_ABUSE_MALFORMED].add(1);
      fail(s, Status::kInternal, "the message is not gzip");
      break;
    case Inflate::kTooLarge:
      context_->counters->abuse[RL_ABUSE_OVERSIZED].add(1);
      fail(s, Status::kResourceExhausted, "the message is too large when decompressed");
      break;
  }
}

// Bytes that will be needed after this read: copied, within bounds.
bool Http2Connection::keep(Http2Stream *s, rl_view bytes) {
  const bool fits = buffered_ + bytes.size <= context_->max_buffered() &&
                    context_->buffered + bytes.size <= context_->max_buffered_in_all();
  if (!fits || !s->body.append(bytes.data, bytes.size)) {
    context_->counters->shed.add(1);
    fail(s, Status::kResourceExhausted, "too many incomplete messages", {.retry_ms = kRetryMs});
    return false;
  }
  buffered_ += bytes.size;
  context_->buffered += bytes.size;
  return true;
}

void Http2Connection::keep_borrowed() {
  Http2Stream *s = borrower_;
  if (!s) return;
  borrower_ = nullptr;
  const rl_view bytes = s->borrowed;
  s->borrowed = {};
  if (!s->ended && bytes.size > 0) keep(s, bytes);
}

void Http2Connection::drop_request(Http2Stream *s) {
  if (borrower_ == s) borrower_ = nullptr;
  s->borrowed = {};
  buffered_ -= s->body.size();
  context_->buffered -= s->body.size();
  s->body.clear();
  if (s->method == Method::kHttp) {
    buffered_ -= s->fields.size();
    context_->buffered -= s->fields.size();
  }
  s->fields.clear();
}

void Http2Connection::close_stream(Http2Stream *s) {
  drop_request(s);
  if (current_ == s) current_ = nullptr;
  if (heading_ == s) heading_ = nullptr;
  if (s->early) --early_count_;
  if (s->watching) --watcher_count_;
  if (s->answer_size > 0) --unsent_count_;
  unread_ -= s->output.size();
  (s->previous ? s->previous->next : first_) = s->next;
  (s->next ? s->next->previous : last_) = s->previous;
  --stream_count_;
  context_->give_stream(s);
}

}  // namespace rl
