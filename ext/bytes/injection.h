// libinjection, taken from a shared object at start, and the gates that spare its calls.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

// Loads libinjection_sqli and libinjection_xss from the shared object at `path`; once, before any other thread scans.
// 1, or 0 with the reason in error. A later call replaces the functions; the object is never unloaded.
int rl_injection_load(const char *path, char *error, uint32_t error_size);
int rl_injection_loaded(void);

// @detectSQLi and @detectXSS: 1 when text is an injection, or when libinjection 4 gives up on it, as in ModSecurity.
// fingerprint: what SQLi looked like, null-terminated; empty when it is none.
int rl_detect_sqli(rl_view text, char fingerprint[8]);
int rl_detect_xss(rl_view text);

// 1: libinjection certainly calls the text benign. Neither looks at a byte twice.
int rl_benign_sqli(rl_view text);
int rl_benign_xss(rl_view text);

#ifdef __cplusplus
}
#endif
