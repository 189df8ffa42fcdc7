// One Http2Connection that answers every message with itself, without a socket, for tests and fuzzing.
#pragma once
#include <memory>
#include <new>

#include "wire/http2.h"

namespace rl {

struct EchoSession {
  explicit EchoSession(const Http2Options &options)
      : context(options, Http2Handler{this, on_message}, &counters), connection(new Http2Connection(&context)) {}

  bool open(int64_t now_ns) { return context.ok() && connection->open(now_ns); }
  // Feeds a copy of exactly that size, so that a sanitizer sees every byte read beyond it.
  void recv(const char *bytes, size_t size, int64_t now_ns) {
    const std::unique_ptr<char[]> copy(new char[size]);
    std::memcpy(copy.get(), bytes, size);
    connection->recv(copy.get(), size, now_ns);
  }

  static void on_message(void *self, Http2Connection *connection, Http2Stream *stream, rl_view message) {
    auto *session = static_cast<EchoSession *>(self);
    ++session->messages;
    if (message.size == 4 && std::memcmp(message.data, "fail", 4) == 0) {
      return connection->fail(stream, Status::kInvalidArgument, "as you wish");
    }
    Buffer *out = connection->begin_message(stream);
    if (!out) return;
    out->append(message.data, message.size);
    if (stream->method == Method::kHealthWatch) connection->watch(stream);
    if (streams_answers(stream->method)) return connection->end_message(stream);
    connection->reply(stream);
  }

  WireCounters counters;
  uint64_t messages = 0;
  Http2Context context;
  std::unique_ptr<Http2Connection> connection;
  Buffer out;
};

}  // namespace rl
