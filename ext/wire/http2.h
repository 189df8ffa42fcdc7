// A gRPC server's side of one HTTP/2 connection, on nghttp2. Sans-I/O: bytes in by recv(), bytes out by send(), time as
// a parameter.
//
// The owner of a connection loops: recv() what was read, send() into a buffer, write it, close the socket when
// finished(). Whole request messages come out of recv() through Http2Handler::message, in the order in which they
// arrived, and are answered there and then.
//
// One Http2Context serves all connections of one thread. Between recv() (or any other call that may answer) and the
// send() that follows no other connection of the context may be touched: they share the memory in which answers wait.
//
// Memory of one connection, whatever its peer does:
// - the session: about 32 KiB. Two HPACK tables of 4 KiB, what is read and written, at most 128 acknowledgements;
// - streams: max_streams of about 1 KiB, and the headers of those that are not gRPC;
// - requests: twice max_buffered() of messages that came in pieces. More is answered RESOURCE_EXHAUSTED;
// - answers, when the peer does not read: max_streams times the largest unary one, and 1 MiB of streamed ones.
//   The owner bounds what it buffers itself, and by held() what all of its connections hold.
#pragma once
#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

#include "core/service.h"
#include "core/view.h"
#include "wire/budget.h"
#include "wire/buffer.h"
#include "wire/counters.h"
#include "wire/details.h"
#include "wire/grpc.h"
#include "wire/http.h"
#include "wire/pool.h"

namespace rl {

class Http2Connection;
struct Http2Stream;

struct Http2Options {
  uint32_t max_streams;
  uint32_t max_message;      // bytes, before and after decompression
  uint32_t max_header_list;  // bytes, counted as RFC 9113 6.5.2 does
};

struct Http2Handler {
  void *self;
  // One whole, decompressed request message; the view is valid until return. Answers by Http2Connection's begin_message
  // ... or fail.
  void (*message)(void *self, Http2Connection *connection, Http2Stream *stream, rl_view message);
  // Everything that is not gRPC.
  HttpHandler http{};
};

// What the connections of one thread share.
class Http2Context {
 public:
  Http2Context(const Http2Options &options, const Http2Handler &handler, WireCounters *counters);
  Http2Context(const Http2Context &) = delete;
  Http2Context &operator=(const Http2Context &) = delete;
  ~Http2Context();
  // False: out of memory; use it for nothing.
  bool ok() const { return callbacks && option; }

  // Bytes of incomplete messages that one connection, and all of them, may hold.
  size_t max_buffered() const;
  size_t max_buffered_in_all() const;

  Http2Stream *take_stream();
  void give_stream(Http2Stream *stream);

  // Memory that waits to be used again. shrink() gives what is beyond `keep` back, about `most` bytes at a time.
  size_t idle() const { return pool.idle() + free_bytes_; }
  void shrink(size_t keep, size_t most);

  const Http2Options options;
  const Http2Handler handler;
  WireCounters *const counters;
  Pool pool;
  Buffer answers;    // of the connection whose turn it is, until send()
  Buffer inflated;   // the message being decompressed
  Buffer http_body;  // of the answer being made
  rl_pair http_fields[RL_MAX_HEADERS];
  size_t buffered = 0;
  nghttp2_session_callbacks *callbacks = nullptr;
  nghttp2_option *option = nullptr;

 private:
  void delete_free_stream();

  Http2Stream *free_ = nullptr;
  uint32_t free_count_ = 0;
  size_t free_bytes_ = 0;
};

// One call. Fields are the connection's own business, but for `method` and `told`.
struct Http2Stream {
  Http2Stream *previous, *next;  // all of a connection, oldest first
  int32_t id;
  Method method;
  bool watching;  // set by watch()
  int told;       // the handler's: what this watcher heard last; -1 at first

  Encoding encoding;
  bool is_post, is_grpc, bad_timeout, too_large;
  bool expects_continue;  // not gRPC alone
  bool headers_done;      // the request's header block is complete
  bool half_closed;       // the client has said all
  bool opened;            // our headers are on their way
  bool ended;             // our status is decided: nothing more is accepted or said
  bool deferred;          // nghttp2 waits for resume_data
  bool early;             // ended before the client had finished: reset once the status is out
  Status status;
  const char *note;  // grpc-message of a status that ends a stream of answers; static text
  uint32_t header_bytes;
  int64_t arrived_ns;   // when its headers began
  int64_t timeout_ns;   // from grpc-timeout; INT64_MAX: none
  int64_t answered_ns;  // when bytes began to wait for the peer, or some left
  rl_view borrowed;     // the request so far, where it was read; empty when it is in `body`
  Buffer body;
  Buffer fields;                  // the request's, if it is not gRPC: for each two sizes, name and value
  size_t answer_at, answer_size;  // of a unary answer: in Http2Context::answers
  Buffer output;                  // answers that wait longer than a turn
};

class Http2Connection {
 public:
  explicit Http2Connection(Http2Context *context);
  Http2Connection(const Http2Connection &) = delete;
  Http2Connection &operator=(const Http2Connection &) = delete;
  ~Http2Connection();

  // Queues our SETTINGS. False when out of memory.
  bool open(int64_t now_ns);
  // now_ns: of a monotonic clock. A connection that failed ignores what it gets.
  void recv(const char *bytes, size_t size, int64_t now_ns);
  // Appends frames to *out while it holds less than limit. True when there is more to send.
  bool send(Buffer *out, size_t limit, int64_t now_ns);
  // Nothing will come of this connection any more: flush, then close it.
  bool finished() const;

  // Leave gracefully: a first GOAWAY tells the peer to open no more streams, the final one follows when the peer has
  // confirmed (by PING) that it knows, or by finish_shutdown(). Calls in flight are answered; streams of answers end
  // with UNAVAILABLE.
  void begin_shutdown();
  void finish_shutdown();
  // Leave at once, for that reason (RL_ABUSE_*).
  void abort(int abuse);

  // Ends what the peer has left half-sent, and says whether the connection as a whole is stuck: half-sent headers,
  // silence within a message, or an answer that the peer's windows have held up for stall_ns. The owner then aborts it.
  // Not for a connection whose owner still has bytes to write: it is the owner then that holds things up.
  bool expire(int64_t now_ns, int64_t stall_ns);
  // Might expire() find anything later?
  bool owes() const { return stream_count_ > 0 || !greeted_; }
  uint32_t stream_count() const { return stream_count_; }
  // Bytes of memory that calls in progress take, about: those that answers take which the peer does not let out, too.
  size_t held() const { return stream_count_ * size_t{kStreamCost} + unread_; }

  // Answers. A message is appended to the buffer that begin_message returns (NULL: the stream is over). reply() ends it
  // and the call with OK; end_message() ends only the message, for methods that stream answers.
  Buffer *begin_message(Http2Stream *stream);
  void end_message(Http2Stream *stream);
  void reply(Http2Stream *stream);
  // Takes back what was appended since begin_message().
  void drop_message();
  // Ends the call. The message is percent-encoded, and must be static text when answers have been streamed before.
  // Details are not sent when answers have been streamed before.
  void fail(Http2Stream *stream, Status status, const char *message, const Details &details = {});
  uint32_t watcher_count() const { return watcher_count_; }
  void watch(Http2Stream *stream);
  template <typename F>
  void each_watcher(F f) {
    if (watcher_count_ == 0) return;
    for (Http2Stream *s = first_, *next; s; s = next) {
      next = s->next;
      if (s->watching && !s->ended) f(s);
    }
  }

 private:
  friend struct Http2Events;
  enum class Leaving : uint8_t { kNo, kNotice, kFinal };
  enum : size_t { kStreamCost = 1280 };  // of ours and nghttp2's, with the first buffer of its answer
  enum { kControlBurst = 2000, kControlRate = 200, kResetBurst = 500, kResetRate = 50 };

  Http2Stream *find(int32_t id);
  // Remembers why we give up; recv() then stops at once. Returns what a callback must return.
  int doom(uint32_t code, int abuse);
  void write_last_words(Buffer *out);
  void take_ping_answer(const uint8_t *opaque);

  int begin_stream(int32_t id);
  int take_header(rl_view name, rl_view value);
  void finish_headers(Http2Stream *stream);
  void take_data(Http2Stream *stream, rl_view bytes);
  rl_view request_bytes(const Http2Stream *stream) const;
  bool check_prefix(Http2Stream *stream, Prefix prefix);
  void read_messages(Http2Stream *stream);
  void finish_request(Http2Stream *stream);
  void keep_field(Http2Stream *stream, rl_view name, rl_view value);
  void choose_method(Http2Stream *stream, rl_view path);
  void finish_http_headers(Http2Stream *stream);
  void finish_http_request(Http2Stream *stream);
  const char *read_fields(Http2Stream *stream, HttpCall *call);
  void answer_http(Http2Stream *stream, const HttpAnswer &answer, bool has_body);
  void deliver(Http2Stream *stream, Prefix prefix, rl_view message);
  bool keep(Http2Stream *stream, rl_view bytes);
  void keep_borrowed();
  void drop_request(Http2Stream *stream);
  void close_stream(Http2Stream *stream);

  void refuse(Http2Stream *stream, const char *status);
  void finish_answer(Http2Stream *stream, Status status);
  void start_answers(Http2Stream *stream);
  void keep_answers();
  void mark_ended(Http2Stream *stream, Status status);
  size_t read_answer(Http2Stream *stream, uint8_t *to, size_t size);
  bool submit_trailers(Http2Stream *stream);

  Http2Context *context_;
  nghttp2_session *session_ = nullptr;
  Http2Stream *first_ = nullptr, *last_ = nullptr;
  Http2Stream *heading_ = nullptr;   // whose header block is coming in, maybe over several reads
  Http2Stream *current_ = nullptr;   // the stream of the last frame: the next one is often its own
  Http2Stream *borrower_ = nullptr;  // the one stream whose request lies in the read buffer
  uint32_t stream_count_ = 0, watcher_count_ = 0;
  bool parting_ = false;       // the peer said goodbye, if not by the book
  uint32_t early_count_ = 0;   // streams to reset once their status is out
  uint32_t unsent_count_ = 0;  // unary answers that lie in Http2Context::answers
  size_t consumed_ = 0;        // bytes of DATA since recv() began
  size_t buffered_ = 0;        // bytes of messages that came in pieces
  size_t unread_ = 0;          // bytes of streamed answers that wait
  size_t message_at_ = 0;      // of the message being written, in Http2Context::answers
  int64_t ignored_ = 0;        // bytes received that belong to no frame nghttp2 told us of
  int64_t now_ns_ = 0, opened_ns_ = 0, received_ns_ = 0;
  Budget control_{kControlBurst, kControlRate};
  Budget resets_{kResetBurst, kResetRate};
  Leaving leaving_ = Leaving::kNo;
  bool confirmed_ = false;      // the peer knows that we are leaving
  bool greeted_ = false;        // the peer's SETTINGS have arrived
  bool settings_sent_ = false;  // ours have left
  bool doomed_ = false;         // session_ must not be used any more, except to delete it
  bool last_words_said_ = false;
  uint32_t doom_code_ = 0;
  int32_t last_stream_id_ = 0;
  uint8_t path_size_ = 0;
  char path_[128];  // of a call to an unknown method, for its error
};

}  // namespace rl
