// A socket and its HTTP/2 connection: one read and one write a turn.
#pragma once
#include <cstdint>

#include "net/timer.h"
#include "wire/http2.h"

namespace rl {

// A timer, so that the wheel can hand it back.
struct Connection : Timer {
  explicit Connection(Http2Context *context) : http2(context) {}

  Connection *newer = nullptr, *older = nullptr;  // all of a worker
  int fd = -1;
  uint32_t interest = 0;  // epoll events asked for
  bool lingering =
      false;  // all is said; waiting for the peer to hang up, so that its kernel does not discard our last words
  bool leaving = false;         // GOAWAY is out or on its way
  bool has_more = false;        // nghttp2 holds more than `output` may take
  int64_t idle_since_ns = 0;    // when the last stream ended; 0: there are streams
  int64_t leave_at_ns = 0;      // max age; 0: never
  int64_t finish_at_ns = 0;     // when the final GOAWAY is sent although the peer did not confirm the first; 0: none
  int64_t close_at_ns = 0;      // the end of grace or lingering; 0: none
  int64_t backlog_ns = 0;       // when a read left more to read; 0: it did not
  int64_t unread_since_ns = 0;  // what `output` held then ...
  uint64_t unread_until = 0;    // ... has left when `written` reaches this
  uint64_t written = 0;
  size_t held = 0;            // bytes of memory, as of its last turn, for calls in progress and unread answers
  int64_t held_since_ns = 0;  // since when that has not become less
  Buffer output;              // what the socket would not take
  Http2Connection http2;
};

}  // namespace rl
