#include "wire/health.h"

#include "wire/protobuf.h"

namespace rl {

DecodeError decode_health_request(rl_view bytes, rl_view *service) {
  *service = {};
  ProtoReader reader(bytes);
  while (reader.next()) {
    if (reader.tag() == tag_of(1, kBytes)) {
      *service = reader.bytes();
    } else {
      reader.skip();
    }
  }
  return reader.failed() ? "HealthCheckRequest is not a well-formed grpc.health.v1.HealthCheckRequest" : nullptr;
}

void encode_health_response(int status, Buffer *out) {
  char *to = out->reserve(2);
  if (!to) return;
  ProtoWriter writer{to};
  writer.number(1, static_cast<uint32_t>(status) & 3);
  out->commit(static_cast<size_t>(writer.at - to));
}

bool health_knows(rl_view service) {
  for (std::string_view known : {"", "envoy.service.auth.v3.Authorization", "ratelimitd.v1.RateLimitService",
                                 "envoy.service.ratelimit.v3.RateLimitService", "ratelimit", "grpc.health.v1.Health"}) {
    if (equals(service, known)) return true;
  }
  return false;
}

}  // namespace rl
