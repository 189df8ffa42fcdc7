// Worker: connections over TLS. They are served as plain ones are, but for the sealing in between.
#include <errno.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "net/clock.h"
#include "net/worker.h"

namespace rl {
namespace {

// Steps of handshakes in one turn: each may cost a signature, and checks on other connections wait for them.
enum : uint32_t { kHandshakesInTurn = 4 };

// "203.0.113.7:40312"; empty for a unix socket.
void peer_name(int fd, char *to, size_t room) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST], port[NI_MAXSERV];
  to[0] = 0;
  if (getpeername(fd, reinterpret_cast<sockaddr *>(&address), &size) != 0 || address.ss_family == AF_UNIX ||
      getnameinfo(reinterpret_cast<sockaddr *>(&address), size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return;
  }
  std::snprintf(to, room, address.ss_family == AF_INET6 ? "[%.40s]:%.5s" : "%.40s:%.5s", host, port);
}

}  // namespace

void Worker::serve_sealed(Connection *c, uint32_t events) {
  const bool is_new = c->tls->state() == Tls::State::kHandshake;
  if (!(events & EPOLLIN)) {
    if (events & (EPOLLERR | EPOLLHUP)) return close(c);
    return settle(c);
  }
  // Left unread, it comes up again in the next turn.
  if (is_new && ++handshakes_ > kHandshakesInTurn) return;
  const ssize_t n = ::read(c->fd, input_.get(), kInput);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return settle(c);
  if (n <= 0) {
    // Who looks whether the port is open says nothing at all; who leaves at the sight of our certificate has a reason.
    if (is_new && c->tls->has_heard()) report(c, {.reason = RL_TLS_GONE}, !c->tls->has_shown());
    return close(c);
  }
  const int64_t read_ns = monotonic_ns();
  const auto size = static_cast<size_t>(n);
  stats_.bytes_read.add(size);
  size_t opened = 0;
  const Tls::State state = c->tls->recv(input_.get(), size, opened_.get(), &opened, &c->output, now_ns_);
  if (is_new && !shake_hands(c)) return;
  if (state == Tls::State::kFailed) {
    if (c->tls->is_flooded()) stats_.wire.abuse[RL_ABUSE_CONTROL_FLOOD].add(1);
    write_some(c, &c->output);
    return close(c);
  }
  if (c->output.failed() || !take(c, opened_.get(), opened, size < kInput, read_ns)) return close(c);
  if (state == Tls::State::kClosed) return close(c);
  finish_turn(c);
}

// After a step of the handshake. False: it came to nothing, and the connection is on its way out.
bool Worker::shake_hands(Connection *c) {
  switch (c->tls->state()) {
    case Tls::State::kHandshake:
      return true;
    case Tls::State::kFailed:
      report(c, c->tls->fault());
      if (!write_some(c, &c->output)) {
        close(c);
      } else {
        linger(c);  // the peer is to read our alert
      }
      return false;
    default:
      break;
  }
  (c->tls->is_resumed() ? stats_.tls_resumed : stats_.tls_full).add(1);
  Protocol protocol;
  if (c->tls->protocol(&protocol)) c->session.choose(protocol);
  return true;
}

// As write_output, where what waits for the socket is sealed already.
bool Worker::write_sealed(Connection *c) {
  const size_t most = std::max<size_t>(options_.max_output, 1);
  do {
    const size_t waiting = c->output.size();
    c->has_more = c->session.send(&output_, waiting == 0 ? kWrite : most - std::min(waiting, most), now_ns_);
    const bool sealed = !output_.failed() && c->tls->seal(output_.data(), output_.size(), &c->output);
    output_.clear();
    output_.shrink(kKeptOutput);
    if (!sealed || c->output.failed() || !write_some(c, &c->output)) return false;
  } while (c->has_more && c->output.empty());
  return true;
}

// Says that nothing follows. What waits still may be the middle of a record: then it says nothing.
void Worker::part(Connection *c) {
  if (!c->output.empty()) return;
  c->tls->close(&c->output);
  if (!c->output.empty()) write_some(c, &c->output);
}

void Worker::report(Connection *c, const TlsFault &fault, bool is_quiet) {
  const int reason = fault.reason < 0 ? int{RL_TLS_PROTOCOL_ERROR} : fault.reason;
  stats_.tls_failures[reason].add(1);
  if (is_quiet) return;
  rl_tls_failure failure{};
  failure.reason = reason;
  peer_name(c->fd, failure.peer, sizeof failure.peer);
  std::copy(std::begin(fault.detail), std::end(fault.detail), failure.detail);
  std::copy(std::begin(fault.certificate), std::end(fault.certificate), failure.certificate);
  state_->tls->report(failure, now_ns_);
}

}  // namespace rl
