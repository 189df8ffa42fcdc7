// The thread that accepts connections and deals each to the least busy worker: a few fat connections are the normal
// case, and the kernel's hash (SO_REUSEPORT) would leave workers idle. In between it gives free memory back to the
// system when a worker asks: that may take milliseconds, which a worker does not have.
#pragma once
#include <memory>
#include <thread>
#include <vector>

#include "net/listener.h"
#include "net/worker.h"

namespace rl {

class Acceptor {
 public:
  Acceptor(std::vector<std::unique_ptr<Worker>> *workers, uint32_t max_connections, int untidy);
  Acceptor(const Acceptor &) = delete;
  Acceptor &operator=(const Acceptor &) = delete;
  ~Acceptor();

  // Takes the listeners over. 0, or an errno.
  int start(std::vector<Listener> listeners);
  // Accepts what the kernel has queued, closes the listeners and ends. join() waits for that.
  void stop();
  void join();

  const Counter &accepted() const { return accepted_; }
  const Counter &refused() const { return refused_; }

 private:
  void run();
  bool accept_all(const Listener &listener);
  void refuse_by_spare(const Listener &listener);
  void deal(Dealt dealt);
  Worker *least_busy();
  void close_listeners();

  std::vector<std::unique_ptr<Worker>> *workers_;
  const uint32_t max_connections_;
  const int untidy_;  // ServerState's
  std::vector<Listener> listeners_;
  int wake_ = -1;
  int spare_ = -1;  // given up for a moment to accept and close a connection when descriptors have run out
  Counter accepted_, refused_;
  int64_t slot_ns_ = 0;                           // when the present second of `before_` began
  std::vector<uint64_t> before_, before_before_;  // each worker's calls at the last two turns of a second
  std::thread thread_;
};

}  // namespace rl
