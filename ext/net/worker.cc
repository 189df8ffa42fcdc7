#include "net/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <system_error>

#include "net/clock.h"

namespace rl {
namespace {

enum { kEvents = 128 };
constexpr int64_t kLinger = 1000 * kMillisecond;
// How long a peer may take to confirm that it knows we are leaving.
constexpr int64_t kConfirm = 2000 * kMillisecond;

// Asks Linux 6.12 and later for short slices: a worker that wakes up then preempts threads with longer ones (the
// control plane's, a neighbour's) at once instead of waiting up to 3 ms for theirs to end. Older kernels ignore the
// wish.
void ask_for_short_slices() {
  struct {  // sched_attr, version 0 (sched_setattr(2)); libc has no declaration
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
  } wish{48, SCHED_OTHER, 0, getpriority(PRIO_PROCESS, 0), 0, 200'000, 0, 0};
  static_assert(sizeof wish == 48);
  syscall(SYS_sched_setattr, 0, &wish, 0);
}

}  // namespace

Worker::Worker(uint32_t index, const rl_server_options &options, const rl_spine &spine, const ServerState *state)
    : index_(index),
      options_(options),
      state_(state),
      service_{spine,
               index,
               options.max_batch,
               &state->health,
               nullptr,
               &stats_.wire,
               options.max_wait_ms ? options.max_wait_ms * kMillisecond : INT64_MAX,
               0,
               0,
               {},
               0,
               std::make_unique<RequestArena>(),
               std::make_unique<rl_verdict>(),
               std::make_unique<DescriptorArena>(),
               std::make_unique<rl_descriptor_answer>()},
      http1_(std::make_unique<Http1Context>(Http1Options{options.max_message, options.max_header_list},
                                            service_.http_handler(), &stats_.wire)),
      http2_(std::make_unique<Http2Context>(
          Http2Options{options.max_streams, options.max_message, options.max_header_list}, service_.handler(),
          &stats_.wire)),
      timers_(monotonic_ns()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      max_held_(options.max_unread ? options.max_unread : SIZE_MAX),
      input_(new char[kInput]),
      random_(static_cast<uint64_t>(monotonic_ns()) * 0x9e3779b97f4a7c15 + index) {}

Worker::~Worker() {
  join();
  if (epoll_ >= 0) ::close(epoll_);
  if (wake_ >= 0) ::close(wake_);
}

int Worker::start() {
  if (!http2_->ok()) return ENOMEM;
  if (epoll_ < 0 || wake_ < 0) return EMFILE;
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0) return errno;
  try {
    thread_ = std::thread(&Worker::run, this);
  } catch (const std::system_error &error) {
    return error.code().value();
  }
  return 0;
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::deal(Dealt dealt) {
  {
    const std::lock_guard lock(inbox_lock_);
    inbox_.push_back(dealt);
  }
  wake();
}

void Worker::wake() {
  const uint64_t one = 1;
  if (::write(wake_, &one, sizeof one) < 0) return;  // full: it is awake
}

uint64_t Worker::calls() const {
  uint64_t sum = 0;
  for (const Counter &counter : stats_.wire.calls) sum += counter.get();
  return sum;
}

void Worker::run() {
  char name[16];
  std::snprintf(name, sizeof name, "rl-worker-%u", index_);
  pthread_setname_np(pthread_self(), name);
  ask_for_short_slices();
  const rl_spine &spine = service_.spine;
  epoll_event events[kEvents];
  now_ns_ = monotonic_ns();
  while (!state_->stopping.load(std::memory_order_acquire)) {
    const int n = epoll_wait(epoll_, events, kEvents, sleep_ms());
    now_ns_ = monotonic_ns();
    service_.wall_ns = wall_ns();
    stats_.turns.add(1);
    spine.enter(spine.self, index_);
    bool woken = false;
    handshakes_ = 0;
    for (int i = 0; i < n; ++i) {
      if (events[i].data.ptr) {
        serve(static_cast<Connection *>(events[i].data.ptr), events[i].events);
        // It hangs up on connections, which may be among the next: the kernel tells us of those again.
        if (held_ > max_held_) [[unlikely]] {
          relieve();
          break;
        }
      } else {
        woken = true;
      }
    }
    if (woken) take_messages();
    timers_.expire(now_ns_, [this](Timer *timer) { on_timer(static_cast<Connection *>(timer)); });
    if (tidy_ns_ == 0) {
      plan_tidying();
    } else if (now_ns_ >= tidy_ns_) {
      tidy();
    }
    spine.leave(spine.self, index_);
  }
  // Closing says its last words, and may answer what waited for room.
  spine.enter(spine.self, index_);
  take_messages();
  spine.leave(spine.self, index_);
  while (first_) close(first_);
}

// What other threads have to say: new sockets, another health, leave.
void Worker::take_messages() {
  uint64_t count;
  if (::read(wake_, &count, sizeof count) < 0 && errno != EAGAIN) return;
  std::vector<Dealt> sockets;
  {
    const std::lock_guard lock(inbox_lock_);
    sockets.swap(inbox_);
  }
  for (const Dealt dealt : sockets) adopt(dealt);
  const int health = state_->health.load(std::memory_order_relaxed);
  const bool draining = state_->draining.load(std::memory_order_acquire);
  const bool health_changed = health != told_health_;
  const bool leave = draining && !told_draining_;
  told_health_ = health;
  told_draining_ = draining;
  if (!health_changed && !leave) return;
  for (Connection *c = first_, *older; c; c = older) {
    older = c->older;
    if (c->lingering) continue;
    if (health_changed) {
      if (Http2Connection *http2 = c->session.http2()) {
        http2->each_watcher([&](Http2Stream *stream) { tell_watcher(service_, http2, stream); });
      }
    }
    if (leave) begin_leaving(c);
    settle(c);
  }
}

void Worker::adopt(Dealt dealt) {
  const int fd = dealt.fd;
  auto *c = new (std::nothrow) Connection(http1_.get(), http2_.get(), now_ns_);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = c;
  if (c && dealt.is_tls) {
    c->tls = Tls::create(state_->tls->identity());
    if (!opened_) opened_.reset(new (std::nothrow) char[kInput + Tls::kRecord]);
  }
  if (!c || (dealt.is_tls && (!c->tls || !opened_)) || epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    delete c;
    ::close(fd);
    stats_.closed.add(1);
    open.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  c->fd = fd;
  c->interest = EPOLLIN;
  c->idle_since_ns = now_ns_;
  if (options_.max_connection_age_ms) c->leave_at_ns = now_ns_ + jittered_age();
  c->older = first_;
  if (first_) first_->newer = c;
  first_ = c;
  if (told_draining_) begin_leaving(c);
  settle(c);
}

int64_t Worker::jittered_age() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  const int64_t age = options_.max_connection_age_ms * kMillisecond;
  return age - age / 10 + static_cast<int64_t>(random_ % static_cast<uint64_t>(age / 5 + 1));
}

void Worker::begin_leaving(Connection *c) {
  if (c->leaving) return;
  c->leaving = true;
  c->session.begin_shutdown();
  const int64_t grace = options_.max_connection_age_grace_ms * kMillisecond;
  if (grace > 0) c->close_at_ns = now_ns_ + grace;
  c->finish_at_ns = now_ns_ + (grace > 0 ? std::min(grace / 2, kConfirm) : kConfirm);
}

void Worker::serve(Connection *c, uint32_t events) {
  if (c->lingering) {
    const ssize_t n = ::read(c->fd, input_.get(), kInput);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;  // the timer bounds how long
    return close(c);
  }
  if (c->tls) [[unlikely]]
    return serve_sealed(c, events);
  if (events & EPOLLIN) {
    const ssize_t n = ::read(c->fd, input_.get(), kInput);
    if (n > 0) {
      const int64_t read_ns = monotonic_ns();
      stats_.bytes_read.add(static_cast<uint64_t>(n));
      if (!take(c, input_.get(), static_cast<size_t>(n), static_cast<size_t>(n) < kInput, read_ns)) return close(c);
      return finish_turn(c);
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) return close(c);
  } else if (events & (EPOLLERR | EPOLLHUP)) {
    return close(c);
  }
  settle(c);
}

// Decides and answers what was read then. False when the socket is broken.
bool Worker::take(Connection *c, char *bytes, size_t size, bool is_all, int64_t read_ns) {
  const uint64_t checks_before = service_.checks;
  // What did not fit into the last read has been waiting since then, the rest since this turn began.
  service_.seen_ns = c->backlog_ns ? c->backlog_ns : now_ns_;
  service_.clock.set(read_ns);
  c->backlog_ns = is_all ? 0 : read_ns;
  c->session.recv(bytes, size, service_.seen_ns);
  if (!write_output(c)) return false;
  const uint64_t checks = service_.checks - checks_before;
  if (checks > 0) stats_.add_latency(monotonic_ns() - read_ns, checks);
  return true;
}

void Worker::settle(Connection *c) {
  if (!write_output(c)) return close(c);
  finish_turn(c);
}

// Serialises and writes all that may be written. False when the socket is broken.
bool Worker::write_output(Connection *c) {
  if (c->tls) [[unlikely]]
    return write_sealed(c);
  do {
    if (c->output.empty()) {
      c->has_more = c->session.send(&output_, kWrite, now_ns_);
      const bool alive = !output_.failed() && write_some(c, &output_) &&
                         (output_.empty() || c->output.append(output_.data(), output_.size()));
      output_.clear();
      output_.shrink(kKeptOutput);
      if (!alive) return false;
    } else {
      c->has_more = c->session.send(&c->output, std::max<size_t>(options_.max_output, 1), now_ns_);
      if (c->output.failed() || !write_some(c, &c->output)) return false;
    }
  } while (c->has_more && c->output.empty());
  return true;
}

bool Worker::write_some(Connection *c, Buffer *from) {
  if (from->empty()) return true;
  const ssize_t n = ::send(c->fd, from->data(), from->size(), MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  from->consume(static_cast<size_t>(n));
  c->written += static_cast<uint64_t>(n);
  stats_.bytes_written.add(static_cast<uint64_t>(n));
  return true;
}

// After reading and writing: what to wait for.
void Worker::finish_turn(Connection *c) {
  account(c);
  if (c->output.empty() && c->session.finished()) return linger(c);
  // All that waits must leave within the stall timeout, whatever is added behind it.
  if (c->output.empty()) {
    c->unread_since_ns = 0;
    c->output.shrink(0);
  } else if (c->unread_since_ns == 0 || c->written >= c->unread_until) {
    c->unread_since_ns = now_ns_;
    c->unread_until = c->written + c->output.size();
  }
  if (c->session.stream_count() > 0) {
    c->idle_since_ns = 0;
  } else if (c->idle_since_ns == 0) {
    c->idle_since_ns = now_ns_;
  }
  const bool piled_up = c->has_more || c->output.size() > options_.max_output;
  const uint32_t interest = (piled_up ? 0u : EPOLLIN) | (c->output.empty() ? 0u : EPOLLOUT);
  set_interest(c, interest);
  arm(c);
}

void Worker::set_interest(Connection *c, uint32_t interest) {
  if (interest == c->interest) return;
  c->interest = interest;
  epoll_event event{};
  event.events = interest;
  event.data.ptr = c;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c->fd, &event);
}

// The timer may ring too early, never too late: what it finds then decides.
void Worker::arm(Connection *c) {
  int64_t at = INT64_MAX;
  const int64_t stall = options_.stall_timeout_ms * kMillisecond;
  if (stall > 0 && c->session.owes()) at = now_ns_ + stall;
  if (stall > 0 && c->unread_since_ns) at = std::min(at, c->unread_since_ns + stall);
  if (options_.idle_timeout_ms && c->idle_since_ns && !c->leaving) {
    at = std::min(at, c->idle_since_ns + options_.idle_timeout_ms * kMillisecond);
  }
  if (c->leave_at_ns && !c->leaving) at = std::min(at, c->leave_at_ns);
  if (c->finish_at_ns) at = std::min(at, c->finish_at_ns);
  if (c->close_at_ns) at = std::min(at, c->close_at_ns);
  if (at == INT64_MAX || (c->at_ns != 0 && c->at_ns <= at)) return;
  timers_.arm(c, at);
}

void Worker::on_timer(Connection *c) {
  if (c->close_at_ns && now_ns_ >= c->close_at_ns) return close(c);
  if (c->lingering) return arm(c);
  const int64_t stall = options_.stall_timeout_ms * kMillisecond;
  if (stall > 0) {
    const bool unread = c->unread_since_ns && now_ns_ - c->unread_since_ns >= stall;
    if (unread || (c->output.empty() && c->session.expire(now_ns_, stall))) {
      if (c->tls && c->tls->state() == Tls::State::kHandshake) report(c, {.reason = RL_TLS_TIMEOUT});
      c->session.abort(RL_ABUSE_STALLED);
      if (!write_output(c) || unread) return close(c);
      return linger(c);
    }
  }
  const bool is_old = c->leave_at_ns && now_ns_ >= c->leave_at_ns;
  const bool is_idle = options_.idle_timeout_ms && c->idle_since_ns &&
                       now_ns_ - c->idle_since_ns >= options_.idle_timeout_ms * kMillisecond;
  if (is_old || is_idle) begin_leaving(c);
  if (c->finish_at_ns && now_ns_ >= c->finish_at_ns) {
    c->finish_at_ns = 0;
    c->session.finish_shutdown();
  }
  settle(c);
}

void Worker::linger(Connection *c) {
  if (c->tls) part(c);
  c->lingering = true;
  c->close_at_ns = now_ns_ + kLinger;
  shutdown(c->fd, SHUT_WR);
  set_interest(c, EPOLLIN);
  timers_.arm(c, c->close_at_ns);
}

void Worker::close(Connection *c) {
  if (c->tls && !c->lingering) part(c);
  timers_.cancel(c);
  (c->newer ? c->newer->older : first_) = c->older;
  if (c->older) c->older->newer = c->newer;
  stats_.closed.add(1);
  held_ -= c->held;
  stats_.held.set(held_);
  ::close(c->fd);
  delete c;
  open.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace rl
