// What the doors over plain HTTP do with a request, by its path.
#include "net/service.h"
#include "wire/forward_auth.h"
#include "wire/text.h"

namespace rl {
namespace {

enum : uint16_t { kRetryAfterS = 1 };  // when to come back after we were overloaded

void fail(Service *service, uint16_t status, std::string_view detail, HttpAnswer *answer) {
  const int index = http_error_index(status);
  if (index >= 0) service->counters->http_errors[index].add(1);
  if (status == 400) service->counters->abuse[RL_ABUSE_MALFORMED].add(1);
  answer_problem(status, detail, answer);
}

void shed(Service *service, std::string_view detail, HttpAnswer *answer) {
  service->counters->shed.add(1);
  fail(service, 503, detail, answer);
  static_assert(kRetryAfterS == 1);
  answer->add("retry-after", view_of("1"));
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

void on_call(void *self, const HttpCall &call, HttpAnswer *answer) {
  auto *service = static_cast<Service *>(self);
  AuthDoor door;
  bool found;
  const DecodeError error = read_auth_target(call.target, &found, &door);
  if (found && !error) return auth(service, call, door, answer);
  service->counters->calls[found ? door.method : RL_METHOD_UNKNOWN].add(1);
  if (found) return fail(service, 400, error, answer);
  fail(service, 404, "nothing is served at this path", answer);
}

}  // namespace

HttpHandler Service::http_handler() { return {this, on_call}; }

}  // namespace rl
