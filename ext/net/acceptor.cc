#include "net/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <system_error>

#include "net/clock.h"

namespace rl {
namespace {

// How long to leave the listeners alone when the system has no descriptor or memory for another socket.
enum { kPauseMs = 100 };

int open_spare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

void set_options(int fd, bool is_unix) {
  const int on = 1;
  if (is_unix) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);  // finds peers that vanished, even without an idle timeout
}

// Locks one arena of malloc after the other; workers in steady state call none of them.
void give_memory_back(int asked) {
  uint64_t count;
  if (read(asked, &count, sizeof count) < 0) return;
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace

Acceptor::Acceptor(std::vector<std::unique_ptr<Worker>> *workers, uint32_t max_connections, int untidy)
    : workers_(workers),
      max_connections_(max_connections),
      untidy_(untidy),
      before_(workers->size()),
      before_before_(workers->size()) {}

Acceptor::~Acceptor() {
  stop();
  join();
  close_listeners();
  if (wake_ >= 0) close(wake_);
  if (spare_ >= 0) close(spare_);
}

int Acceptor::start(std::vector<Listener> listeners) {
  listeners_ = std::move(listeners);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  spare_ = open_spare();
  if (wake_ < 0 || spare_ < 0) return errno;
  try {
    thread_ = std::thread(&Acceptor::run, this);
  } catch (const std::system_error &error) {
    return error.code().value();
  }
  return 0;
}

void Acceptor::stop() {
  const uint64_t one = 1;
  if (wake_ >= 0 && write(wake_, &one, sizeof one) < 0) return;
}

void Acceptor::join() {
  if (thread_.joinable()) thread_.join();
}

void Acceptor::run() {
  pthread_setname_np(pthread_self(), "rl-acceptor");
  std::vector<pollfd> polled{{wake_, POLLIN, 0}, {untidy_, POLLIN, 0}};
  for (const Listener &listener : listeners_) polled.push_back({listener.fd, POLLIN, 0});
  while (true) {
    if (poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) break;
    if (polled[0].revents) break;
    if (polled[1].revents) give_memory_back(untidy_);
    bool pause = false;
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (polled[i + 2].revents && !accept_all(listeners_[i])) pause = true;
    }
    if (pause && poll(polled.data(), 1, kPauseMs) > 0) break;
  }
  // Whoever has connected is served, and then told to leave.
  for (const Listener &listener : listeners_) accept_all(listener);
  close_listeners();
}

// False: no resources; do not try again at once.
bool Acceptor::accept_all(const Listener &listener) {
  while (true) {
    const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      set_options(fd, listener.is_unix);
      deal({fd, listener.is_tls});
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return true;
      case EMFILE:
      case ENFILE:
        refuse_by_spare(listener);
        return spare_ >= 0;
      case ENOBUFS:
      case ENOMEM:
        return false;
      default:
        break;  // the peer has gone already, or the network has: the next one may be fine
    }
  }
}

// Without a descriptor a connection can only wait, and the listener stays readable: take it and hang up.
void Acceptor::refuse_by_spare(const Listener &listener) {
  if (spare_ >= 0) close(spare_);
  const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) {
    refused_.add(1);
    close(fd);
  }
  spare_ = open_spare();
}

void Acceptor::deal(Dealt dealt) {
  uint64_t open = 0;
  for (const auto &worker : *workers_) open += worker->open.load(std::memory_order_relaxed);
  if (open >= max_connections_) {
    refused_.add(1);
    close(dealt.fd);
    return;
  }
  Worker *worker = least_busy();
  worker->open.fetch_add(1, std::memory_order_relaxed);
  accepted_.add(1);
  worker->deal(dealt);
}

// The fewest connections; among equals the fewest calls in this second and the one before.
Worker *Acceptor::least_busy() {
  const int64_t now = monotonic_ns();
  if (now - slot_ns_ >= 1000 * kMillisecond) {
    slot_ns_ = now;
    before_before_.swap(before_);
    for (size_t i = 0; i < workers_->size(); ++i) before_[i] = (*workers_)[i]->calls();
  }
  Worker *best = nullptr;
  uint32_t best_open = 0;
  uint64_t best_calls = 0;
  for (size_t i = 0; i < workers_->size(); ++i) {
    Worker *worker = (*workers_)[i].get();
    const uint32_t open = worker->open.load(std::memory_order_relaxed);
    const uint64_t calls = worker->calls() - before_before_[i];
    if (best && (open > best_open || (open == best_open && calls >= best_calls))) continue;
    best = worker;
    best_open = open;
    best_calls = calls;
  }
  return best;
}

void Acceptor::close_listeners() {
  for (Listener &listener : listeners_) close_listener(&listener);
}

}  // namespace rl
