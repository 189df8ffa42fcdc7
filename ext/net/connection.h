// A socket and what is spoken over it: one read and one write a turn.
#pragma once
#include <cstdint>
#include <memory>

#include "net/timer.h"
#include "net/tls.h"
#include "wire/session.h"

namespace rl {

// A timer, so that the wheel can hand it back.
struct Connection : Timer {
  Connection(Http1Context *http1, Http2Context *http2, int64_t now_ns) : session(http1, http2, now_ns) {}

  Connection *newer = nullptr, *older = nullptr;  // all of a worker
  int fd = -1;
  uint32_t interest = 0;  // epoll events asked for
  bool lingering =
      false;  // all is said; waiting for the peer to hang up, so that its kernel does not discard our last words
  bool leaving = false;         // GOAWAY is out or on its way, or the next answer is the last
  bool has_more = false;        // the session holds more than `output` may take
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
  Session session;
  std::unique_ptr<Tls> tls;  // NULL: plain; else `output` holds sealed bytes
};

}  // namespace rl
