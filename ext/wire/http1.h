// A server's side of one HTTP/1.1 connection (RFC 9112; HTTP/1.0 is understood). Sans-I/O as Http2Connection is: bytes
// in by recv(), bytes out by send(), time as a parameter.
//
// Requests are answered one after the other, as soon as they are whole. A request that lies in one read is parsed where
// it was read. Pipelined ones are answered as far as the reader lets us: the rest of a read waits, and the owner, who
// is told that there is more, reads nothing in the meantime.
//
// One Http1Context serves all connections of one thread. Between recv() and the send() that follows no other connection
// of the context may be touched: they share the memory in which answers wait.
//
// Memory of one connection, whatever its peer does: a head of at most max_header_list, a body of at most max_message,
// and what a read left over. All half-sent requests of a context share a bound.
#pragma once
#include <cstddef>
#include <cstdint>

#include "wire/buffer.h"
#include "wire/counters.h"
#include "wire/http.h"
#include "wire/http1_chunks.h"
#include "wire/http1_head.h"

namespace rl {

struct Http1Options {
  uint32_t max_message;      // bytes of a body
  uint32_t max_header_list;  // bytes of a head
};

// What the connections of one thread share.
struct Http1Context {
  Http1Context(const Http1Options &o, const HttpHandler &h, WireCounters *c) : options(o), handler(h), counters(c) {}
  Http1Context(const Http1Context &) = delete;
  Http1Context &operator=(const Http1Context &) = delete;

  const Http1Options options;
  const HttpHandler handler;
  WireCounters *const counters;
  rl_pair fields[RL_MAX_HEADERS];
  Buffer answers;       // of the connection whose turn it is, until send()
  Buffer body;          // of the answer being made
  size_t buffered = 0;  // bytes of half-sent requests
};

class Http1Connection {
 public:
  Http1Connection(Http1Context *context, int64_t now_ns) : context_(context), begun_ns_(now_ns) {}
  Http1Connection(const Http1Connection &) = delete;
  Http1Connection &operator=(const Http1Connection &) = delete;
  ~Http1Connection() { context_->buffered -= kept(); }

  // Names of fields are rewritten where they were read.
  void recv(char *bytes, size_t size, int64_t now_ns);
  // Appends answers to *out, about as many as fit into limit. True when there are more.
  bool send(Buffer *out, size_t limit);
  bool finished() const { return over_ && context_->answers.empty(); }

  // Leave gracefully: the next answer says that it is the last. finish_shutdown() does not wait for it, unless a
  // request has begun.
  void begin_shutdown() { leaving_ = true; }
  void finish_shutdown();
  // Leave at once, for that reason (RL_ABUSE_*).
  void abort(int abuse);

  // Is the peer silent for stall_ns although it owes us (the rest of) a request?
  bool expire(int64_t now_ns, int64_t stall_ns) const { return owes() && now_ns - begun_ns_ >= stall_ns; }
  bool owes() const { return !over_ && (in_request() || !greeted_); }
  uint32_t stream_count() const { return in_request() || !waiting_.empty(); }
  // Bytes of memory that requests in progress take.
  size_t held() const { return head_.capacity() + body_.capacity() + waiting_.capacity(); }

 private:
  enum class State : uint8_t { kHead, kLength, kChunked };
  enum class Blank : uint8_t { kNone, kCr, kPast };

  bool in_request() const { return state_ != State::kHead || !head_.empty(); }
  size_t kept() const { return head_.size() + body_.size(); }
  size_t take(char *bytes, size_t size);
  size_t step(char *bytes, size_t size);
  size_t take_blank(const char *bytes, size_t size);
  size_t take_head(char *bytes, size_t size);
  size_t take_more_head(const char *bytes, size_t size);
  size_t take_length(const char *bytes, size_t size);
  size_t take_chunks(const char *bytes, size_t size);
  bool begin_request(char *bytes, size_t size);
  bool keep(Buffer *to, const char *bytes, size_t size);
  void await_body(bool has_begun);
  void finish_kept();
  void dispatch(rl_view body);
  void refuse(HttpRefusal refusal);
  void write_answer(const HttpAnswer &answer);

  Http1Context *context_;
  Http1Head request_{};  // of the request in progress; its views only while its head is where it was parsed
  State state_ = State::kHead;
  Blank blank_ = Blank::kNone;  // an empty line before a request is passed over
  bool greeted_ = false;        // a whole head has come
  bool leaving_ = false;
  bool over_ = false;  // nothing more is read or decided
  ChunkReader chunks_;
  int64_t begun_ns_;         // when the request, or the connection, began
  int64_t received_ns_ = 0;  // when the last bytes came
  Buffer head_, body_;       // of a request that came in pieces
  Buffer waiting_;           // what was read behind the requests answered so far
};

}  // namespace rl
