#include "net/service.h"

#include <cstdio>
#include <cstring>

#include "wire/health.h"
#include "wire/protobuf.h"

namespace rl {
namespace {

enum : uint32_t { kMaxWatchers = 16 };  // of one connection

enum : int32_t { kRetryMs = 1000 };  // when to come back after we were overloaded

void decide(Service *service, const rl_request &request) {
  service->spine.check(service->spine.self, service->worker, service->wall_ns, &request, service->verdict.get());
  ++service->checks;
}

void refuse(Service *service, Http2Connection *connection, Http2Stream *stream, DecodeError error) {
  service->counters->abuse[RL_ABUSE_MALFORMED].add(1);
  connection->fail(stream, Status::kInvalidArgument, error, {.violation = view_of(error)});
}

// The same of a message within the message: "requests[3].headers: more than 256".
void refuse_part(Service *service, Http2Connection *connection, Http2Stream *stream, const char *part,
                 DecodeError error) {
  char text[kMaxText];
  const bool names_field = std::strstr(error, ": ") != nullptr;
  std::snprintf(text, sizeof text, "%s%s%s", part, names_field ? "." : ": ", error);
  refuse(service, connection, stream, text);
}

// A failure of ours, not a verdict: the caller's own failure mode decides then. True when it was one.
bool refuse_overload(Service *service, Http2Connection *connection, Http2Stream *stream) {
  if (service->verdict->reason != RL_REASON_OVERLOAD) return false;
  service->counters->shed.add(1);
  connection->fail(stream, Status::kResourceExhausted, "no policy is in force on this worker; retry elsewhere",
                   {.retry_ms = kRetryMs});
  return true;
}

// Work for callers that have given up, or soon will, only makes the others wait longer: a call that has been waiting
// too long is not decided and not counted. True when it was refused.
bool refuse_late(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  const int64_t now = service->clock.look(message.size);
  if (now - stream->arrived_ns >= stream->timeout_ns) [[unlikely]] {
    service->counters->deadline_passed.add(1);
    connection->fail(stream, Status::kDeadlineExceeded, "the deadline passed before the request was decided");
    return true;
  }
  if (now - service->seen_ns < service->max_wait_ns) [[likely]]
    return false;
  service->counters->shed.add(1);
  connection->fail(stream, Status::kResourceExhausted, "the request waited too long: this worker is overloaded",
                   {.retry_ms = kRetryMs});
  return true;
}

void envoy_check(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  if (refuse_late(service, connection, stream, message)) return;
  rl_request request;
  if (DecodeError error = decode_envoy_check(message, service->arena.get(), &request)) {
    return refuse(service, connection, stream, error);
  }
  decide(service, request);
  if (refuse_overload(service, connection, stream)) return;
  if (Buffer *out = connection->begin_message(stream)) {
    encode_envoy_check(*service->verdict, service->verdict->metadata != 0, out);
    connection->reply(stream);
  }
}

void check(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  if (refuse_late(service, connection, stream, message)) return;
  rl_request request;
  if (DecodeError error = decode_check(message, service->arena.get(), &request)) {
    return refuse(service, connection, stream, error);
  }
  decide(service, request);
  if (refuse_overload(service, connection, stream)) return;
  if (Buffer *out = connection->begin_message(stream)) {
    encode_check(*service->verdict, out);
    connection->reply(stream);
  }
}

// Nothing is counted unless all of the batch is well formed. False: it is not, and was refused.
bool validate_batch(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  size_t cursor = 0;
  rl_view part;
  rl_request request;
  DecodeError error = nullptr;
  uint32_t count = 0;
  int found;
  while ((found = next_batch_request(message, &cursor, &part, &error)) == 1) {
    if (count == service->max_batch) {
      refuse(service, connection, stream, "requests: too many for one batch");
      return false;
    }
    if ((error = decode_check(part, service->arena.get(), &request))) {
      char name[32];
      std::snprintf(name, sizeof name, "requests[%u]", count);
      refuse_part(service, connection, stream, name, error);
      return false;
    }
    ++count;
  }
  if (found < 0) refuse(service, connection, stream, error);
  return found == 0;
}

void check_batch(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  if (refuse_late(service, connection, stream, message)) return;
  if (!validate_batch(service, connection, stream, message)) return;
  Buffer *out = connection->begin_message(stream);
  if (!out) return;
  size_t cursor = 0;
  rl_view part;
  rl_request request;
  DecodeError error = nullptr;
  while (next_batch_request(message, &cursor, &part, &error) == 1) {
    decode_check(part, service->arena.get(), &request);
    decide(service, request);
    if (service->verdict->reason == RL_REASON_OVERLOAD) connection->drop_message();
    if (refuse_overload(service, connection, stream)) return;
    append_batch_response(*service->verdict, out);
  }
  connection->reply(stream);
}

void inspect_response(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  if (refuse_late(service, connection, stream, message)) return;
  rl_request request;
  rl_response response;
  bool of_request;
  if (DecodeError error = decode_inspect_response(message, service->arena.get(), &request, &response, &of_request)) {
    return of_request ? refuse_part(service, connection, stream, "request", error)
                      : refuse(service, connection, stream, error);
  }
  service->spine.inspect(service->spine.self, service->worker, service->wall_ns, &request, &response,
                         service->verdict.get());
  if (refuse_overload(service, connection, stream)) return;
  if (Buffer *out = connection->begin_message(stream)) {
    encode_inspect_response(*service->verdict, out);
    connection->reply(stream);
  }
}

void should_rate_limit(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  if (refuse_late(service, connection, stream, message)) return;
  rl_descriptor_call call;
  if (DecodeError error = decode_rate_limit(message, service->descriptors.get(), &call)) {
    return refuse(service, connection, stream, error);
  }
  service->spine.rate_limit(service->spine.self, service->worker, service->wall_ns, &call, service->answer.get(),
                            service->verdict.get());
  ++service->checks;
  if (refuse_overload(service, connection, stream)) return;
  if (Buffer *out = connection->begin_message(stream)) {
    encode_rate_limit(*service->answer, *service->verdict, out);
    connection->reply(stream);
  }
}

void health_check(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  rl_view name;
  if (DecodeError error = decode_health_request(message, &name)) return refuse(service, connection, stream, error);
  if (!health_knows(name)) return connection->fail(stream, Status::kNotFound, "unknown service");
  if (Buffer *out = connection->begin_message(stream)) {
    encode_health_response(service->health->load(std::memory_order_relaxed), out);
    connection->reply(stream);
  }
}

void health_watch(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  rl_view name;
  if (DecodeError error = decode_health_request(message, &name)) return refuse(service, connection, stream, error);
  if (connection->watcher_count() >= kMaxWatchers) {
    return connection->fail(stream, Status::kResourceExhausted, "too many watchers on this connection");
  }
  connection->watch(stream);
  if (health_knows(name)) return tell_watcher(*service, connection, stream);
  // The service may become known one day, says the protocol; ours never change, so the stream only stays open.
  stream->told = RL_HEALTH_SERVICE_UNKNOWN;
  if (Buffer *out = connection->begin_message(stream)) {
    encode_health_response(RL_HEALTH_SERVICE_UNKNOWN, out);
    connection->end_message(stream);
  }
}

void reflect(Service *service, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  if (!service->reflection) return connection->fail(stream, Status::kUnimplemented, "no descriptors are loaded");
  Buffer *out = connection->begin_message(stream);
  if (!out) return;
  if (DecodeError error = service->reflection->answer(message, out)) {
    connection->drop_message();
    return refuse(service, connection, stream, error);
  }
  connection->end_message(stream);
}

void on_message(void *self, Http2Connection *connection, Http2Stream *stream, rl_view message) {
  auto *service = static_cast<Service *>(self);
  switch (stream->method) {
    case Method::kEnvoyCheck:
      return envoy_check(service, connection, stream, message);
    case Method::kCheck:
      return check(service, connection, stream, message);
    case Method::kCheckBatch:
      return check_batch(service, connection, stream, message);
    case Method::kInspectResponse:
      return inspect_response(service, connection, stream, message);
    case Method::kShouldRateLimit:
      return should_rate_limit(service, connection, stream, message);
    case Method::kHealthCheck:
      return health_check(service, connection, stream, message);
    case Method::kHealthWatch:
      return health_watch(service, connection, stream, message);
    case Method::kReflectionV1:
    case Method::kReflectionV1Alpha:
      return reflect(service, connection, stream, message);
    case Method::kHttp:
    case Method::kUnknown:
      break;  // answered when its headers arrived
  }
}

}  // namespace

Http2Handler Service::handler() { return {this, on_message, http_handler()}; }

void tell_watcher(const Service &service, Http2Connection *connection, Http2Stream *stream) {
  const int health = service.health->load(std::memory_order_relaxed);
  if (stream->told == health || stream->told == RL_HEALTH_SERVICE_UNKNOWN) return;
  stream->told = health;
  if (Buffer *out = connection->begin_message(stream)) {
    encode_health_response(health, out);
    connection->end_message(stream);
  }
}

}  // namespace rl
