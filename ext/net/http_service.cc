// What the doors over plain HTTP do with a request, by its path.
#include "net/service.h"
#include "wire/forward_auth.h"
#include "wire/json_messages.h"
#include "wire/text.h"

namespace rl {
namespace {

constexpr rl_view kRetryAfter = {"1", 1};  // seconds: when to come back after we were overloaded

void fail(Service *service, uint16_t status, std::string_view detail, HttpAnswer *answer) {
  const int index = http_error_index(status);
  if (index >= 0) service->counters->http_errors[index].add(1);
  if (status == 400) service->counters->abuse[RL_ABUSE_MALFORMED].add(1);
  answer_problem(status, detail, answer);
}

void shed(Service *service, std::string_view detail, HttpAnswer *answer) {
  service->counters->shed.add(1);
  answer->body->clear();
  fail(service, 503, detail, answer);
  answer->add("retry-after", kRetryAfter);
}

// As for gRPC: work that has waited too long is neither decided nor counted.
bool refuse_late(Service *service, const HttpCall &call, HttpAnswer *answer) {
  if (service->clock.look(call.body.size) - call.arrived_ns < service->max_wait_ns) [[likely]]
    return false;
  shed(service, "the request waited too long: this worker is overloaded", answer);
  return true;
}

// False: we could not, and said so.
bool decide(Service *service, const rl_request &request, HttpAnswer *answer) {
  service->spine.check(service->spine.self, service->worker, service->wall_ns, &request, service->verdict.get());
  ++service->checks;
  if (service->verdict->reason != RL_REASON_OVERLOAD) [[likely]]
    return true;
  shed(service, "no policy is in force on this worker; retry elsewhere", answer);
  return false;
}

void auth(Service *service, const HttpCall &call, const AuthDoor &door, HttpAnswer *answer) {
  service->counters->calls[door.method].add(1);
  if (refuse_late(service, call, answer)) return;
  rl_request request;
  if (DecodeError error = decode_forward_auth(call, door, service->arena.get(), &request)) {
    return fail(service, 400, error, answer);
  }
  if (decide(service, request, answer)) encode_forward_auth(*service->verdict, door, answer);
}

bool is_json(const HttpCall &call) {
  constexpr std::string_view kJson = "application/json";
  const rl_pair *type = find_field(call, "content-type");
  if (!type) return false;
  std::string_view value = to_string_view(type->value);
  value = value.substr(0, value.find_first_of("; \t"));
  char lower[kJson.size()];
  if (value.size() != kJson.size()) return false;
  copy_lower(lower, view_of(value));
  return std::string_view(lower, sizeof lower) == kJson;
}

// What the JSON doors have in common. A type that browsers do not send across sites unasked is demanded: a page must
// not charge somebody's limits from within. False: refused.
bool accept_json(Service *service, const HttpCall &call, int method, HttpAnswer *answer) {
  service->counters->calls[method].add(1);
  if (!equals(call.method, "POST")) {
    fail(service, 405, "ask by POST", answer);
    answer->add("allow", view_of("POST"));
    return false;
  }
  if (!is_json(call)) {
    fail(service, 415, "Content-Type: must be application/json", answer);
    return false;
  }
  return !refuse_late(service, call, answer);
}

// What a large message made it grow to goes back.
void tidy(RequestArena *arena) {
  constexpr size_t kKept = 1 << 20;
  arena->text.clear();
  arena->text.shrink(kKept);
}

void check(Service *service, const HttpCall &call, HttpAnswer *answer) {
  if (!accept_json(service, call, RL_METHOD_HTTP_CHECK, answer)) return;
  rl_request request;
  if (DecodeError error = decode_check_json(call.body, service->arena.get(), &request)) {
    return fail(service, 400, error, answer);
  }
  if (!decide(service, request, answer)) return;
  answer->add("content-type", view_of("application/json"));
  encode_check_json(*service->verdict, answer->body);
  tidy(service->arena.get());
}

// Nothing is counted unless all of the batch is well formed. False: it is not, and was refused.
bool validate_batch(Service *service, const HttpCall &call, HttpAnswer *answer) {
  JsonBatch batch(call.body);
  rl_request request;
  DecodeError error = nullptr;
  int found;
  for (uint32_t count = 0; (found = batch.next(service->arena.get(), &request, &error)) == 1; ++count) {
    if (count == service->max_batch) {
      fail(service, 400, "requests: too many for one batch", answer);
      return false;
    }
  }
  if (found < 0) fail(service, 400, error, answer);
  return found == 0;
}

void check_batch(Service *service, const HttpCall &call, HttpAnswer *answer) {
  if (!accept_json(service, call, RL_METHOD_HTTP_CHECK_BATCH, answer)) return;
  if (!validate_batch(service, call, answer)) return;
  JsonBatch batch(call.body);
  rl_request request;
  DecodeError error = nullptr;
  Buffer *out = answer->body;
  constexpr std::string_view kBegin = "{\"responses\":[", kEnd = "]}";
  out->append(kBegin.data(), kBegin.size());
  for (bool first = true; batch.next(service->arena.get(), &request, &error) == 1; first = false) {
    if (!decide(service, request, answer)) return;
    if (!first) out->append(",", 1);
    encode_check_json(*service->verdict, out);
  }
  out->append(kEnd.data(), kEnd.size());
  answer->add("content-type", view_of("application/json"));
  tidy(service->arena.get());
}

// Pages send their origin along, scripts and proxies do not: those may leave out the type, as envoyproxy/ratelimit lets
// them. False: refused.
bool accept_rate_limit(Service *service, const HttpCall &call, HttpAnswer *answer) {
  if (find_field(call, "origin") || find_field(call, "sec-fetch-site")) {
    return accept_json(service, call, RL_METHOD_HTTP_RATE_LIMIT, answer);
  }
  service->counters->calls[RL_METHOD_HTTP_RATE_LIMIT].add(1);
  if (equals(call.method, "POST")) return !refuse_late(service, call, answer);
  fail(service, 405, "ask by POST", answer);
  answer->add("allow", view_of("POST"));
  return false;
}

// The rate limit service as JSON: the status tells the verdict.
void rate_limit(Service *service, const HttpCall &call, HttpAnswer *answer) {
  if (!accept_rate_limit(service, call, answer)) return;
  rl_descriptor_call asked;
  if (DecodeError error = decode_rate_limit_json(call.body, service->descriptors.get(), &asked)) {
    return fail(service, 400, error, answer);
  }
  service->spine.rate_limit(service->spine.self, service->worker, service->wall_ns, &asked, service->answer.get(),
                            service->verdict.get());
  ++service->checks;
  if (service->verdict->reason == RL_REASON_OVERLOAD) {
    return shed(service, "no policy is in force on this worker; retry elsewhere", answer);
  }
  if (service->answer->over) answer->status = 429;
  answer->add("content-type", view_of("application/json"));
  encode_rate_limit_json(*service->answer, *service->verdict, answer->body);
}

// For balancers that know no gRPC.
void health(Service *service, const HttpCall &call, HttpAnswer *answer) {
  service->counters->calls[RL_METHOD_HEALTH].add(1);
  if (!equals(call.method, "GET") && !equals(call.method, "HEAD")) {
    fail(service, 405, "ask by GET", answer);
    return answer->add("allow", view_of("GET, HEAD"));
  }
  if (service->health->load(std::memory_order_relaxed) != RL_HEALTH_SERVING) {
    return fail(service, 503, "this server is not serving", answer);
  }
  answer->add("content-type", view_of("application/json"));
  constexpr std::string_view kServing = "{\"status\":\"SERVING\"}";
  answer->body->append(kServing.data(), kServing.size());
}

void on_call(void *self, const HttpCall &call, HttpAnswer *answer) {
  auto *service = static_cast<Service *>(self);
  AuthDoor door;
  bool found;
  const DecodeError error = read_auth_target(call.target, &found, &door);
  if (found && !error) [[likely]]
    return auth(service, call, door, answer);
  if (found) {
    service->counters->calls[door.method].add(1);
    return fail(service, 400, error, answer);
  }
  const std::string_view target = to_string_view(call.target), path = target.substr(0, target.find('?'));
  if (path == "/v1/check") return check(service, call, answer);
  if (path == "/v1/check/batch") return check_batch(service, call, answer);
  if (path == "/json") return rate_limit(service, call, answer);
  if (path == "/healthz" || path == "/healthcheck") return health(service, call, answer);
  service->counters->calls[RL_METHOD_UNKNOWN].add(1);
  fail(service, 404, "nothing is served at this path", answer);
}

rl_view tell_date(void *self) {
  auto *service = static_cast<Service *>(self);
  return service->date.at(service->wall_ns);
}

}  // namespace

HttpHandler Service::http_handler() { return {this, on_call, tell_date}; }

}  // namespace rl
