// Query strings, forms and cookies: an iterator over raw pairs, and decoding into a caller's buffer.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

// The next pair of "a=1&b=2" from *cursor (0 to start). Views are raw. 1, or 0 at the end. Empty pairs are skipped.
int rl_query_next(rl_view query, uint32_t *cursor, rl_pair *out);
// The same for a Cookie header ("a=1; b=2").
int rl_cookie_next(rl_view cookie, uint32_t *cursor, rl_pair *out);
// Percent- and plus-decodes into out (room for text.size bytes); returns the length. Broken escapes stay as they are.
uint32_t rl_url_decode(rl_view text, char *out);
// Splits a raw request target ("/a?b#c", "http://h/a?b") into path and query.
void rl_target_split(rl_view target, rl_view *path, rl_view *query);
// Normalises a raw path for matching into out (room for raw.size + 1): percent-decoded once, backslashes kept, "//"
// collapsed, "." and ".." segments resolved (never above the root), always begins with "/". Returns the length. RFC
// 3986 section 5.2.4, on decoded bytes.
uint32_t rl_path_normalize(rl_view raw, char *out);

#ifdef __cplusplus
}
#endif
