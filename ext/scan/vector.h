// hs_scan by Vectorscan's code for SSE4.2. Its code for AVX-512 misses matches in the last bytes of a text
// (VectorCamp/vectorscan#378), that for AVX2 others, at any place ("$&l&xxxx...${" by `\$(\{|&l)[^}]*\$(\{|&l)`);
// 5.4.9 is what Debian 12 has. The library exports its code for each kind of CPU where it chooses between them. On the
// short texts of requests this one is as fast.
#pragma once
#include <hs.h>

#ifdef __x86_64__
extern "C" __attribute__((weak)) hs_error_t corei7_hs_scan(const hs_database_t *, const char *, unsigned, unsigned,
                                                           hs_scratch_t *, match_event_handler, void *);
#endif

static inline hs_error_t rl_hs_scan(const hs_database_t *database, const char *data, unsigned length, unsigned flags,
                                    hs_scratch_t *scratch, match_event_handler handler, void *context) {
#ifdef __x86_64__
  if (corei7_hs_scan) return corei7_hs_scan(database, data, length, flags, scratch, handler, context);
#endif
  return hs_scan(database, data, length, flags, scratch, handler, context);
}

// What databases are compiled for, so that rl_hs_scan can read them: nothing beyond SSE4.2, or else this machine.
static inline hs_error_t rl_hs_platform(hs_platform_info_t *platform) {
  const hs_error_t status = hs_populate_platform(platform);
#ifdef __x86_64__
  if (corei7_hs_scan) {
    platform->tune = HS_TUNE_FAMILY_GENERIC;
    platform->cpu_features = 0;
  }
#endif
  return status;
}
