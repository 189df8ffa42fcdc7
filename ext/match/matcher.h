// A set of match expressions (plan.Match), indexed: which of them hold for a request? Cost follows the candidates, not
// the set: each alternative is anchored at its most selective condition (exact path, path prefix, host, header value,
// ...), and only anchored candidates are verified. Built once, then read-only and shared by workers.
#pragma once
#include "match/attributes.h"

#ifdef __cplusplus
extern "C" {
#endif

// plan.Op, by number.
enum {
  RL_OP_PRESENT = 0,
  RL_OP_EXACT = 1,
  RL_OP_PREFIX = 2,
  RL_OP_SUFFIX = 3,
  RL_OP_GLOB = 4,
  RL_OP_REGEX = 5,
  RL_OP_CIDR = 6,
};

typedef struct rl_matcher rl_matcher;

typedef struct rl_condition {
  int source;
  int op;
  rl_view name;
  const rl_view *operands;
  uint32_t operand_count;
  const rl_network *networks;
  uint32_t network_count;
  uint8_t negate;
  uint8_t ignore_case;
} rl_condition;

// Building: entries get the ids 0, 1, 2, ... in order. Everything is copied. 0, or -1 with the reason in error (a bad
// regex, out of memory).
rl_matcher *rl_matcher_new(void);
int rl_matcher_entry(rl_matcher *matcher);        // begins an entry that has no alternative yet
int rl_matcher_alternative(rl_matcher *matcher);  // begins an alternative of the last entry
int rl_matcher_condition(rl_matcher *matcher, const rl_condition *condition, char *error, size_t error_size);
int rl_matcher_finish(rl_matcher *matcher, char *error, size_t error_size);  // builds the index
void rl_matcher_free(rl_matcher *matcher);

// Per-worker memory for a run: marks, regex scratch. prepare before its first run with that matcher.
typedef struct rl_match_scratch rl_match_scratch;
rl_match_scratch *rl_match_scratch_new(void);
int rl_match_scratch_prepare(rl_match_scratch *scratch, const rl_matcher *matcher);
void rl_match_scratch_free(rl_match_scratch *scratch);

// Writes the ids of the entries that hold, ascending, at most max of them; returns how many hold (may exceed max).
uint32_t rl_matcher_run(const rl_matcher *matcher, rl_match_scratch *scratch, rl_attributes *attributes, uint32_t *ids,
                        uint32_t max);
// What the first path glob of the entry that has {name} and matches binds to it. Only after run said that the entry
// holds. 1 or 0.
int rl_matcher_param(const rl_matcher *matcher, uint32_t entry, rl_attributes *attributes, rl_view name, rl_view *out);

// plan.OverrideKind lookup: which override applies to a key?
typedef struct rl_overrides rl_overrides;
rl_overrides *rl_overrides_new(void);
int rl_overrides_add_exact(rl_overrides *overrides, rl_view text, uint32_t id);
int rl_overrides_add_glob(rl_overrides *overrides, rl_view text, uint32_t id);  // tried in the order added
int rl_overrides_add_network(rl_overrides *overrides, const rl_network *network, uint32_t id);
int rl_overrides_finish(rl_overrides *overrides);
void rl_overrides_free(rl_overrides *overrides);
// Exact, then glob, then longest prefix (client may be NULL). The id, or -1.
int64_t rl_overrides_find(const rl_overrides *overrides, rl_view text, const rl_address *client);

// A condition list in words, for dumps: writes at most size bytes, returns the length it would have.
size_t rl_matcher_dump(const rl_matcher *matcher, uint32_t entry, char *out, size_t size);

#ifdef __cplusplus
}
#endif
