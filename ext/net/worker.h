// A thread with an epoll loop: it serves the connections that it is dealt.
//
// A turn: sleep, read the clocks, enter the spine, then for each socket that is ready read, decide, encode and write,
// run the timers, leave the spine. Other threads talk to it by deal(), wake() and atomics alone.
#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "net/connection.h"
#include "net/service.h"
#include "net/stats.h"
#include "net/timer.h"
#include "net/tls_desk.h"

namespace rl {

// What all workers are told, and how they ask the acceptor (whose time is cheap) to give memory back.
struct ServerState {
  const int untidy = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ServerState() = default;
  ServerState(const ServerState &) = delete;
  ServerState &operator=(const ServerState &) = delete;
  ~ServerState() {
    if (untidy >= 0) close(untidy);
  }

  const std::unique_ptr<TlsDesk> tls = std::make_unique<TlsDesk>();
  std::atomic<int> health{RL_HEALTH_SERVING};
  std::atomic<bool> draining{false};
  std::atomic<bool> stopping{false};
};

// A connected, non-blocking socket.
struct Dealt {
  int fd;
  bool is_tls;
};

class Worker {
 public:
  Worker(uint32_t index, const rl_server_options &options, const rl_spine &spine, const ServerState *state);
  Worker(const Worker &) = delete;
  Worker &operator=(const Worker &) = delete;
  ~Worker();

  // Before start(). NULL: calls are UNIMPLEMENTED.
  void set_reflection(const Reflection *reflection) { service_.reflection = reflection; }
  // 0, or an errno.
  int start();
  void join();
  // Hands over a socket. Its place must have been counted in `open` before.
  void deal(Dealt dealt);
  void wake();

  const WorkerStats &stats() const { return stats_; }
  // Connections dealt and not yet closed.
  alignas(64) std::atomic<uint32_t> open{0};
  // Calls so far, for the dealer.
  uint64_t calls() const;

 private:
  enum : size_t { kInput = 128 << 10, kWrite = 256 << 10, kKeptOutput = 1 << 20 };

  void run();
  void take_messages();
  void adopt(Dealt dealt);
  void serve(Connection *connection, uint32_t events);
  void serve_sealed(Connection *connection, uint32_t events);
  bool shake_hands(Connection *connection);
  bool take(Connection *connection, char *bytes, size_t size, bool is_all, int64_t read_ns);
  bool write_output(Connection *connection);
  bool write_sealed(Connection *connection);
  bool write_some(Connection *connection, Buffer *from);
  void settle(Connection *connection);
  void finish_turn(Connection *connection);
  void set_interest(Connection *connection, uint32_t interest);
  void begin_leaving(Connection *connection);
  void arm(Connection *connection);
  void on_timer(Connection *connection);
  void account(Connection *connection);
  void relieve();
  void plan_tidying();
  void tidy();
  void linger(Connection *connection);
  void part(Connection *connection);
  // Counts it; and tells it, unless it means nothing to anybody.
  void report(Connection *connection, const TlsFault &fault, bool is_quiet = false);
  void close(Connection *connection);
  int64_t jittered_age();
  int sleep_ms() const;

  const uint32_t index_;
  const rl_server_options options_;
  const ServerState *state_;
  WorkerStats stats_;
  Service service_;
  std::unique_ptr<Http1Context> http1_;
  std::unique_ptr<Http2Context> http2_;
  TimerWheel timers_;
  const int epoll_, wake_;
  const size_t max_held_;
  int64_t now_ns_ = 0;  // of this turn, monotonic
  Connection *first_ = nullptr;
  size_t held_ = 0;       // of all connections
  size_t most_used_ = 0;  // with half-sent messages, since memory was last given back
  int64_t tidy_ns_ = 0;   // when to give memory back; 0: there is none
  std::unique_ptr<char[]> input_;
  std::unique_ptr<char[]> opened_;  // what TLS made of it; NULL until there is such a connection
  uint32_t handshakes_ = 0;         // steps of them in this turn
  Buffer output_;                   // of the connection whose turn it is
  int told_health_ = RL_HEALTH_UNKNOWN;
  bool told_draining_ = false;
  uint64_t random_;
  std::mutex inbox_lock_;
  std::vector<Dealt> inbox_;
  std::thread thread_;
};

}  // namespace rl
