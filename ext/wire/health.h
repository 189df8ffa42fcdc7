// grpc.health.v1: the two messages.
#pragma once
#include "wire/messages.h"

namespace rl {

// HealthCheckRequest: the service asked for ("" for the server).
DecodeError decode_health_request(rl_view bytes, rl_view *service);
// HealthCheckResponse{status}: 0 unknown, 1 serving, 2 not serving, 3 service unknown (Watch only).
void encode_health_response(int status, Buffer *out);
// Do we serve that service? "" and every service name below.
bool health_knows(rl_view service);

}  // namespace rl
