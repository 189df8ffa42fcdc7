// gRPC over HTTP/2, the parts without state: statuses, message framing, timeouts, content types, method names.
// Source: grpc/doc/PROTOCOL-HTTP2.md and grpc/doc/statuscodes.md.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rl {

enum class Status : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
};

enum { kStatusCount = 17 };

// What we serve.
enum class Method : uint8_t {
  kEnvoyCheck,
  kCheck,
  kCheckBatch,
  kInspectResponse,
  kShouldRateLimit,
  kHealthCheck,
  kHealthWatch,
  kReflectionV1,
  kReflectionV1Alpha,
  kHttp,  // no gRPC: see http.h
  kUnknown,
};

Method method_of_path(rl_view path);
// Its door: RL_METHOD_*.
int door_of_method(Method method);
// Does the client send any number of messages?
inline bool streams_requests(Method m) { return m == Method::kReflectionV1 || m == Method::kReflectionV1Alpha; }
// Do we answer any number of messages?
inline bool streams_answers(Method m) { return streams_requests(m) || m == Method::kHealthWatch; }

// A message on the wire: one byte (compressed or not), four of length (big endian), the message.
enum : size_t { kPrefixSize = 5 };

struct Prefix {
  uint8_t compressed;  // 0 or 1; anything else is malformed
  uint32_t length;
};

inline Prefix read_prefix(const char *at) {
  const auto *b = reinterpret_cast<const uint8_t *>(at);
  return {b[0], uint32_t{b[1]} << 24 | uint32_t{b[2]} << 16 | uint32_t{b[3]} << 8 | b[4]};
}

inline void write_prefix(char *at, uint32_t length) {
  at[0] = 0;
  at[1] = static_cast<char>(length >> 24);
  at[2] = static_cast<char>(length >> 16);
  at[3] = static_cast<char>(length >> 8);
  at[4] = static_cast<char>(length);
}

// A grpc-timeout ("200m") in nanoseconds: at most eight digits and a unit of H M S m u n. -1 when malformed.
int64_t parse_timeout(rl_view text);

// "application/grpc" or "application/grpc+proto", parameters allowed, any case.
bool is_grpc_content_type(rl_view value);

enum class Encoding : uint8_t { kIdentity, kGzip, kUnsupported };
Encoding parse_encoding(rl_view value);

// Text for grpc-message: everything but printable ASCII, and '%', becomes %XX. Stops before an escape that does not
// fit. Returns the bytes written.
size_t percent_encode(rl_view text, char *out, size_t capacity);

}  // namespace rl
