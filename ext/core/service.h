// What the server counts calls and refusals by: the doors and the kinds of abuse. Named in wire/ (where they happen)
// and in net/ (where they are summed). Kept in step with the metrics in ratelimitd/admin/metrics.py.
#pragma once

enum {  // doors, for calls by method
  RL_METHOD_ENVOY_CHECK = 0,
  RL_METHOD_CHECK = 1,
  RL_METHOD_CHECK_BATCH = 2,
  RL_METHOD_INSPECT_RESPONSE = 3,
  RL_METHOD_HEALTH = 4,
  RL_METHOD_REFLECTION = 5,
  RL_METHOD_UNKNOWN = 6,
  RL_METHOD_HTTP_CHECK = 7,
  RL_METHOD_HTTP_CHECK_BATCH = 8,
  RL_METHOD_AUTH = 9,  // and one for each kind of proxy that has a path of its own
  RL_METHOD_AUTH_NGINX = 10,
  RL_METHOD_AUTH_HAPROXY = 11,
  RL_METHOD_AUTH_TRAEFIK = 12,
  RL_METHOD_AUTH_CADDY = 13,
  RL_METHOD_AUTH_ENVOY = 14,
  RL_METHOD_SHOULD_RATE_LIMIT = 15,
  RL_METHOD_HTTP_RATE_LIMIT = 16,
  RL_METHOD_COUNT = 17,
};

enum { RL_HTTP_ERROR_COUNT = 12 };  // failures told by an HTTP status: those of kHttpErrors in wire/http.h

enum {                          // why a connection or a stream was refused or closed by us
  RL_ABUSE_PROTOCOL_ERROR = 0,  // broken frame, bad preface
  RL_ABUSE_HEADER_BOMB = 1,     // header list or CONTINUATION beyond bounds
  RL_ABUSE_RAPID_RESET = 2,
  RL_ABUSE_CONTROL_FLOOD = 3,  // PING, SETTINGS, empty DATA, ...
  RL_ABUSE_OVERSIZED = 4,      // message too large
  RL_ABUSE_MALFORMED = 5,      // message does not parse
  RL_ABUSE_STALLED = 6,        // slow reader or writer
  RL_ABUSE_UNREAD = 7,         // the most and the longest unread, when a worker's memory for such was full
  RL_ABUSE_COUNT = 8,
};

// Service-health states, as grpc.health.v1.
enum { RL_HEALTH_UNKNOWN = 0, RL_HEALTH_SERVING = 1, RL_HEALTH_NOT_SERVING = 2, RL_HEALTH_SERVICE_UNKNOWN = 3 };
