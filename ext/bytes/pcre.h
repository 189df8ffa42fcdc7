// Perl regular expressions as ModSecurity compiles them: bytes, "." matches a line end, "^" and "$" match at lines.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rl_pcre rl_pcre;                  // immutable once compiled: any thread may match with it
typedef struct rl_pcre_scratch rl_pcre_scratch;  // one per thread

enum { RL_PCRE_CASELESS = 1 };
enum { RL_PCRE_NONE = 0, RL_PCRE_LIMIT = -1, RL_PCRE_ERROR = -2 };
enum { RL_PCRE_GROUPS = 32 };  // that a match tells; ModSecurity's TX holds 0 to 9

typedef struct rl_span {
  uint32_t begin, end;  // begin > end: the group took no part
} rl_span;

// NULL when the pattern is wrong; then error says why and *at where. The empty pattern matches anything.
rl_pcre *rl_pcre_compile(rl_view pattern, int flags, char *error, uint32_t error_size, uint32_t *at);
void rl_pcre_free(rl_pcre *pattern);
// match_limit bounds the work of one match, whatever the text. NULL: no memory.
rl_pcre_scratch *rl_pcre_scratch_new(uint32_t match_limit);
void rl_pcre_scratch_free(rl_pcre_scratch *scratch);

// The first match at or after `from`: how many groups are in spans (the whole match is group 0), or RL_PCRE_NONE,
// RL_PCRE_LIMIT (given up), RL_PCRE_ERROR.
int rl_pcre_match(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, uint32_t from,
                  rl_span spans[RL_PCRE_GROUPS]);
// The matches of @rxGlobal one by one, from *cursor (0 at first). Only the first may be empty.
int rl_pcre_next(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, uint32_t *cursor,
                 rl_span spans[RL_PCRE_GROUPS]);
// The first match that `check` accepts (rl_is_card and the like): 1 with *found, else as rl_pcre_match.
int rl_pcre_verify(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, int (*check)(rl_view),
                   rl_span *found);

#ifdef __cplusplus
}
#endif
