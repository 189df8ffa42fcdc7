// hs_scan without AVX-512: Vectorscan's code for it misses matches in the last bytes of a text (VectorCamp/vectorscan
// #378; 5.4.9 is what Debian 12 has). Its code for AVX2 is right, and the library exports it where it chooses by CPU.
#pragma once
#include <hs.h>

#ifdef __x86_64__
extern "C" __attribute__((weak)) hs_error_t avx2_hs_scan(const hs_database_t *, const char *, unsigned, unsigned,
                                                         hs_scratch_t *, match_event_handler, void *);
#endif

static inline hs_error_t rl_hs_scan(const hs_database_t *database, const char *data, unsigned length, unsigned flags,
                                    hs_scratch_t *scratch, match_event_handler handler, void *context) {
#ifdef __x86_64__
  if (avx2_hs_scan && __builtin_cpu_supports("avx2")) {
    return avx2_hs_scan(database, data, length, flags, scratch, handler, context);
  }
#endif
  return hs_scan(database, data, length, flags, scratch, handler, context);
}
