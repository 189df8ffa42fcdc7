// What check decides. Written by check, encoded by wire/ before the turn ends.
//
// Views point into the pinned snapshot, into the request, or into the worker's scratch: all valid until the turn ends.
#pragma once
#include "core/view.h"

enum { RL_ALLOW = 0, RL_DENY = 1 };

// Why. Kept in step with ratelimitd.v1.Reason and with the metric label `reason`.
enum {
  RL_REASON_NONE = 0,  // nothing objected
  RL_REASON_ALLOW_LIST = 1,
  RL_REASON_DENY_LIST = 2,
  RL_REASON_OVER_LIMIT = 3,
  RL_REASON_SCAN = 4,
  RL_REASON_PARTIAL_BODY = 5,  // policy denies cut bodies
  RL_REASON_NO_POLICY = 6,     // unknown domain; allowed unless the policy set says otherwise
  RL_REASON_OVERLOAD = 7,
  RL_REASON_PENALTY = 8,     // the key is banned
  RL_REASON_STORE_LOST = 9,  // the limit is not to be decided without the store
  RL_REASON_COUNT = 10,
};

// Which header family the policy asks for (`headers:`), a bit set.
enum { RL_HEADERS_NONE = 0, RL_HEADERS_IETF = 1, RL_HEADERS_X_RATELIMIT = 2, RL_HEADERS_DRAFT_03 = 4 };

enum { RL_MAX_STATES = 32, RL_MAX_MATCHES = 32 };

// One limit that applied to this request.
typedef struct rl_limit_state {
  rl_view name;             // "per-ip"
  rl_view policy_item;      // `"per-ip";q=100;w=60`, ready for RateLimit-Policy
  uint64_t limit;           // hits per window, after overrides (token bucket: the burst)
  uint64_t remaining;       // 0 when over
  uint32_t window_ms;       // UINT32_MAX when it is longer
  uint32_t reset_after_ms;  // until the window (or the bucket) is fresh again; for a denial: until a retry can pass
  uint8_t over;             // this limit objects
  uint8_t lost;             // ... for want of the store
  uint8_t shadow;           // ... but is only watched
  uint8_t unlimited;        // an override lifted it; limit and remaining are meaningless
} rl_limit_state;

// One rule that matched.
typedef struct rl_rule_match {
  rl_view id;      // "942100"
  rl_view target;  // "args:id"
  rl_view value;   // what it matched, after transformations; for the log, never in an answer
  uint32_t score;
} rl_rule_match;

typedef struct rl_verdict {
  uint8_t decision;         // RL_ALLOW or RL_DENY
  uint8_t reason;           // RL_REASON_*
  uint8_t shadow_denied;    // would have been denied but for shadow or detect mode
  uint8_t header_families;  // RL_HEADERS_*
  uint16_t status;          // HTTP status to answer with: 200, 403, 429, ...
  uint8_t inspected_all;    // the scan saw all of the body
  uint8_t metadata;         // send dynamic_metadata to Envoy
  int16_t deciding_state;   // index into states, or -1
  int16_t deciding_match;   // index into matches, or -1
  int16_t tightest_state;   // the enforced limit nearest to its end, for RateLimit; or -1
  uint16_t state_count;
  uint16_t match_count;
  uint32_t score;          // anomaly score
  uint32_t retry_after_s;  // whole seconds, rounded up; 0: do not send Retry-After
  uint64_t bytes_inspected;
  uint64_t reference;  // opaque id of a denial, in hex on the wire; also in the log
  rl_view domain;      // the policy that decided
  rl_view list;        // the list that decided, for *_LIST
  rl_view penalty;     // the penalty whose ban decided, for PENALTY
  rl_limit_state states[RL_MAX_STATES];
  rl_rule_match matches[RL_MAX_MATCHES];
} rl_verdict;
