#include "wire/grpc.h"

#include <cstring>

#include "core/service.h"

namespace rl {
namespace {

struct Known {
  const char *path;
  uint32_t size;
  Method method;
};

#define KNOWN(path, method) {path, sizeof(path) - 1, Method::method}

// The hottest first.
constexpr Known kKnown[] = {
    KNOWN("/envoy.service.auth.v3.Authorization/Check", kEnvoyCheck),
    KNOWN("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit", kShouldRateLimit),
    KNOWN("/ratelimitd.v1.RateLimitService/Check", kCheck),
    KNOWN("/ratelimitd.v1.RateLimitService/CheckBatch", kCheckBatch),
    KNOWN("/ratelimitd.v1.RateLimitService/InspectResponse", kInspectResponse),
    KNOWN("/grpc.health.v1.Health/Check", kHealthCheck),
    KNOWN("/grpc.health.v1.Health/Watch", kHealthWatch),
    KNOWN("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", kReflectionV1),
    KNOWN("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kReflectionV1Alpha),
};

#undef KNOWN

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool starts_with_lower(rl_view text, const char *prefix, size_t size) {
  if (text.size < size) return false;
  for (size_t i = 0; i < size; ++i) {
    if (lower(text.data[i]) != prefix[i]) return false;
  }
  return true;
}

}  // namespace

Method method_of_path(rl_view path) {
  for (const Known &known : kKnown) {
    if (path.size == known.size && std::memcmp(path.data, known.path, known.size) == 0) return known.method;
  }
  return Method::kUnknown;
}

int door_of_method(Method method) {
  switch (method) {
    case Method::kEnvoyCheck:
      return RL_METHOD_ENVOY_CHECK;
    case Method::kCheck:
      return RL_METHOD_CHECK;
    case Method::kCheckBatch:
      return RL_METHOD_CHECK_BATCH;
    case Method::kInspectResponse:
      return RL_METHOD_INSPECT_RESPONSE;
    case Method::kShouldRateLimit:
      return RL_METHOD_SHOULD_RATE_LIMIT;
    case Method::kHealthCheck:
    case Method::kHealthWatch:
      return RL_METHOD_HEALTH;
    case Method::kReflectionV1:
    case Method::kReflectionV1Alpha:
      return RL_METHOD_REFLECTION;
    case Method::kHttp:
    case Method::kUnknown:
      break;
  }
  return RL_METHOD_UNKNOWN;
}

int64_t parse_timeout(rl_view text) {
  if (text.size < 2 || text.size > 9) return -1;
  int64_t value = 0;
  for (uint32_t i = 0; i + 1 < text.size; ++i) {
    if (text.data[i] < '0' || text.data[i] > '9') return -1;
    value = value * 10 + (text.data[i] - '0');
  }
  // 99,999,999 hours are 3.6e20 ns: more than fits, so hours and minutes are cut at 200 years.
  constexpr int64_t kSecond = 1'000'000'000, kLongest = 200LL * 365 * 86400 * kSecond;
  int64_t unit;
  switch (text.data[text.size - 1]) {
    case 'H':
      unit = 3600 * kSecond;
      break;
    case 'M':
      unit = 60 * kSecond;
      break;
    case 'S':
      unit = kSecond;
      break;
    case 'm':
      unit = 1'000'000;
      break;
    case 'u':
      unit = 1000;
      break;
    case 'n':
      unit = 1;
      break;
    default:
      return -1;
  }
  return value > kLongest / unit ? kLongest : value * unit;
}

bool is_grpc_content_type(rl_view value) {
  constexpr char kBase[] = "application/grpc", kProto[] = "application/grpc+proto";
  size_t used = 0;
  if (value.size == sizeof kBase - 1 && std::memcmp(value.data, kBase, sizeof kBase - 1) == 0)
    return true;  // nearly always
  if (starts_with_lower(value, kProto, sizeof kProto - 1)) {
    used = sizeof kProto - 1;
  } else if (starts_with_lower(value, kBase, sizeof kBase - 1)) {
    used = sizeof kBase - 1;
  } else {
    return false;
  }
  return value.size == used || value.data[used] == ';' || value.data[used] == ' ';
}

Encoding parse_encoding(rl_view value) {
  if (value.size == 8 && std::memcmp(value.data, "identity", 8) == 0) return Encoding::kIdentity;
  if (value.size == 4 && std::memcmp(value.data, "gzip", 4) == 0) return Encoding::kGzip;
  return Encoding::kUnsupported;
}

size_t percent_encode(rl_view text, char *out, size_t capacity) {
  constexpr char kHex[] = "0123456789ABCDEF";
  size_t n = 0;
  for (uint32_t i = 0; i < text.size; ++i) {
    const auto c = static_cast<uint8_t>(text.data[i]);
    const bool plain = c >= 0x20 && c <= 0x7e && c != '%';
    if (n + (plain ? 1 : 3) > capacity) break;
    if (plain) {
      out[n++] = static_cast<char>(c);
    } else {
      out[n++] = '%';
      out[n++] = kHex[c >> 4];
      out[n++] = kHex[c & 15];
    }
  }
  return n;
}

}  // namespace rl
