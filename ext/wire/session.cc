#include "wire/session.h"

#include <cstring>

namespace rl {

void Session::choose(Protocol protocol) {
  if (protocol == Protocol::kHttp1) {
    speaker_.emplace<Http1Connection>(http1_, opened_ns_);
  } else if (!speaker_.emplace<Http2Connection>(http2_).open(opened_ns_)) {
    speaker_.emplace<std::monostate>();
    over_ = true;
  }
}

// True when it is known who speaks.
bool Session::detect(const char *bytes, size_t size) {
  uint8_t seen = seen_;
  for (size_t i = 0; i < size && seen < sizeof kStart; ++i, ++seen) {
    if (bytes[i] == kStart[seen]) continue;
    choose(Protocol::kHttp1);
    return true;
  }
  if (seen == sizeof kStart) {
    choose(Protocol::kHttp2);
    return true;
  }
  seen_ = seen;
  return false;
}

void Session::recv(char *bytes, size_t size, int64_t now_ns) {
  if (over_ || size == 0) return;
  if (speaker_.index() == 0) {
    if (!detect(bytes, size)) return;
    if (seen_ > 0) {
      char start[sizeof kStart];
      std::memcpy(start, kStart, seen_);
      const size_t before = seen_;
      seen_ = 0;
      recv(start, before, now_ns);
    }
  }
  if (Http1Connection *c = http1()) return c->recv(bytes, size, now_ns);
  if (Http2Connection *c = http2()) c->recv(bytes, size, now_ns);
}

bool Session::send(Buffer *out, size_t limit, int64_t now_ns) {
  if (Http1Connection *c = http1()) return c->send(out, limit);
  Http2Connection *c = http2();
  return c && c->send(out, limit, now_ns);
}

bool Session::finished() const {
  if (const Http1Connection *c = http1()) return c->finished();
  const Http2Connection *c = http2();
  return c ? c->finished() : over_;
}

void Session::begin_shutdown() {
  if (Http1Connection *c = http1()) return c->begin_shutdown();
  if (Http2Connection *c = http2()) return c->begin_shutdown();
  over_ = true;
}

void Session::finish_shutdown() {
  if (Http1Connection *c = http1()) return c->finish_shutdown();
  if (Http2Connection *c = http2()) return c->finish_shutdown();
  over_ = true;
}

void Session::abort(int abuse) {
  if (Http1Connection *c = http1()) return c->abort(abuse);
  if (Http2Connection *c = http2()) return c->abort(abuse);
  if (!over_ && abuse >= 0) http1_->counters->abuse[abuse].add(1);
  over_ = true;
}

bool Session::expire(int64_t now_ns, int64_t stall_ns) {
  if (Http1Connection *c = http1()) return c->expire(now_ns, stall_ns);
  if (Http2Connection *c = http2()) return c->expire(now_ns, stall_ns);
  return !over_ && now_ns - opened_ns_ >= stall_ns;
}

bool Session::owes() const {
  if (const Http1Connection *c = http1()) return c->owes();
  const Http2Connection *c = http2();
  return c ? c->owes() : !over_;
}

uint32_t Session::stream_count() const {
  if (const Http1Connection *c = http1()) return c->stream_count();
  const Http2Connection *c = http2();
  return c ? c->stream_count() : 0;
}

size_t Session::held() const {
  if (const Http1Connection *c = http1()) return c->held();
  const Http2Connection *c = http2();
  return c ? c->held() : 0;
}

}  // namespace rl
