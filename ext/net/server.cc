#include "net/server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "net/acceptor.h"
#include "net/clock.h"
#include "net/listener.h"
#include "net/worker.h"
#include "wire/reflection.h"

namespace {

enum class Phase { kNew, kRunning, kDraining, kStopped };

// A signal is the control thread's business: threads started within its scope block them all.
class SignalBlock {
 public:
  SignalBlock() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalBlock() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

rl_server_options bounded(rl_server_options o) {
  o.workers = std::clamp<uint32_t>(o.workers, 1, RL_MAX_WORKERS);
  o.max_connections = std::max<uint32_t>(o.max_connections, 1);
  o.max_streams = std::clamp<uint32_t>(o.max_streams, 1, 100'000);
  o.max_message = std::clamp<uint32_t>(o.max_message, 1, 1 << 30);
  o.max_header_list = std::clamp<uint32_t>(o.max_header_list, 1024, 1 << 20);
  o.max_batch = std::max<uint32_t>(o.max_batch, 1);
  return o;
}

}  // namespace

struct rl_server {
  rl_server_options options;
  rl_spine spine;
  rl::ServerState state;
  Phase phase = Phase::kNew;
  std::string error;
  std::unique_ptr<rl::Reflection> reflection;
  std::vector<rl::Listener> listeners;
  std::vector<std::unique_ptr<rl::Worker>> workers;
  std::unique_ptr<rl::Acceptor> acceptor;

  int fail(int code, std::string text) {
    error = std::move(text);
    return code;
  }
  void wake_workers() {
    for (const auto &worker : workers) worker->wake();
  }
};

extern "C" {

rl_server *rl_server_new(const rl_server_options *options, const rl_spine *spine) {
  try {
    auto server = std::make_unique<rl_server>();
    server->options = bounded(*options);
    server->spine = *spine;
    // They exist before they run, so that rl_server_stats can look at them any time.
    for (uint32_t i = 0; i < server->options.workers; ++i) {
      server->workers.push_back(std::make_unique<rl::Worker>(i, server->options, server->spine, &server->state));
    }
    server->acceptor =
        std::make_unique<rl::Acceptor>(&server->workers, server->options.max_connections, server->state.untidy);
    return server.release();
  } catch (const std::bad_alloc &) {
    return nullptr;
  }
}

void rl_server_free(rl_server *server) {
  if (!server) return;
  rl_server_stop(server);
  delete server;
}

const char *rl_server_error(const rl_server *server) { return server->error.c_str(); }

namespace {

int listen_at(rl_server *server, const char *address, bool is_tls, char *bound, size_t bound_size) {
  if (server->phase != Phase::kNew) return server->fail(RL_E_STATE, "listen before start");
  try {
    rl::Listener listener;
    std::string text;
    const int rc = rl::open_listener(address, &listener, &text, &server->error);
    if (rc != RL_OK) return rc;
    listener.is_tls = is_tls;
    server->listeners.push_back(listener);
    if (bound_size > 0) {
      const size_t n = std::min(text.size(), bound_size - 1);
      memcpy(bound, text.data(), n);
      bound[n] = 0;
    }
    return RL_OK;
  } catch (const std::bad_alloc &) {
    return RL_E_MEMORY;
  }
}

}  // namespace

int rl_server_listen(rl_server *server, const char *address, char *bound, size_t bound_size) {
  return listen_at(server, address, false, bound, bound_size);
}

int rl_server_listen_tls(rl_server *server, const char *address, char *bound, size_t bound_size) {
  return listen_at(server, address, true, bound, bound_size);
}

int rl_server_set_tls(rl_server *server, const rl_tls_parts *parts, rl_tls_info *info) {
  try {
    std::shared_ptr<const rl::TlsIdentity> identity = rl::make_identity(*parts, &server->error);
    if (!identity) return RL_E_TLS;
    const auto before = server->state.tls->identity();
    const int64_t now = rl::wall_ns() / 1'000'000'000;
    if (before && before->info.not_after > now && identity->info.not_after <= now) {
      return server->fail(RL_E_TLS, "the certificate has expired, and the one in use has not");
    }
    *info = identity->info;
    server->state.tls->put(std::move(identity));
    return RL_OK;
  } catch (const std::bad_alloc &) {
    return RL_E_MEMORY;
  }
}

size_t rl_server_tls_failures(rl_server *server, rl_tls_failure *out, size_t most) {
  return server->state.tls->failures(out, most);
}

int rl_server_set_descriptors(rl_server *server, const uint8_t *data, size_t size) {
  if (server->phase != Phase::kNew) return server->fail(RL_E_STATE, "set descriptors before start");
  if (size > UINT32_MAX) return server->fail(RL_E_MEMORY, "the descriptors are too large");
  server->reflection = rl::reflection_new({reinterpret_cast<const char *>(data), static_cast<uint32_t>(size)});
  if (!server->reflection) return server->fail(RL_E_SYSTEM, "the descriptors are no FileDescriptorSet");
  for (const auto &worker : server->workers) worker->set_reflection(server->reflection.get());
  return RL_OK;
}

int rl_server_start(rl_server *server) {
  if (server->phase != Phase::kNew) return server->fail(RL_E_STATE, "started before");
  const bool is_tls = std::any_of(server->listeners.begin(), server->listeners.end(), [](auto &l) { return l.is_tls; });
  if (is_tls && !server->state.tls->identity())
    return server->fail(RL_E_STATE, "TLS needs a certificate: set it first");
  const SignalBlock block;
  server->phase = Phase::kRunning;
  int rc = 0;
  for (const auto &worker : server->workers) {
    if (rc == 0) rc = worker->start();
  }
  if (rc == 0) rc = server->acceptor->start(std::exchange(server->listeners, {}));
  if (rc == 0) return RL_OK;
  rl_server_stop(server);
  return server->fail(rc == ENOMEM ? RL_E_MEMORY : RL_E_SYSTEM, strerror(rc));
}

void rl_server_set_health(rl_server *server, int state) {
  server->state.health.store(state, std::memory_order_relaxed);
  server->wake_workers();
}

void rl_server_drain(rl_server *server) {
  if (server->phase != Phase::kRunning) return;
  server->phase = Phase::kDraining;
  server->acceptor->stop();
  server->acceptor->join();
  server->state.health.store(RL_HEALTH_NOT_SERVING, std::memory_order_relaxed);
  server->state.draining.store(true, std::memory_order_release);
  server->wake_workers();
}

uint32_t rl_server_connections(const rl_server *server) {
  uint32_t sum = 0;
  for (const auto &worker : server->workers) sum += worker->open.load(std::memory_order_relaxed);
  return sum;
}

void rl_server_stop(rl_server *server) {
  if (server->phase == Phase::kStopped) return;
  server->phase = Phase::kStopped;
  server->acceptor->stop();
  server->acceptor->join();
  server->state.stopping.store(true, std::memory_order_release);
  server->wake_workers();
  for (const auto &worker : server->workers) worker->join();
  for (rl::Listener &listener : server->listeners) rl::close_listener(&listener);
  server->listeners.clear();
}

void rl_server_stats(const rl_server *server, rl_server_stats_t *stats) {
  *stats = {};
  stats->connections_accepted = server->acceptor->accepted().get();
  stats->connections_refused = server->acceptor->refused().get();
  for (size_t i = 0; i < server->workers.size(); ++i) {
    const rl::Worker &worker = *server->workers[i];
    stats->connections_by_worker[i] = worker.open.load(std::memory_order_relaxed);
    worker.stats().add_to(stats);
  }
}

}  // extern "C"
