// Query strings, urlencoded bodies and cookies, split and decoded the way ModSecurity 3.0.15 does it.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

// The next argument of "a=1&b=2" from *cursor (0 to start); views are raw. 1, or 0 at the end. An empty piece between
// separators is an argument without name and value; one behind the last separator is none. Without "=" the value is
// empty. separator: '&' unless SecArgumentSeparator says otherwise.
int rl_pairs_next(rl_view text, char separator, uint32_t *cursor, rl_pair *out);
// Decodes a name or a value: "+" is a space, "%41" is "A", a "%" without two hexadecimal digits stays and sets *invalid
// (URLENCODED_ERROR; never cleared here). NULL for names: ModSecurity forgets what it found in them. A text that has
// neither is returned as it is. out: room for text.size bytes.
rl_view rl_pairs_decode(rl_view text, char *out, int *invalid);
// The next cookie of one Cookie header from *cursor. Names lose leading white space, the last piece of a header its
// trailing one, and that is all; a cookie without a name is skipped. 1, or 0 at the end.
int rl_pairs_cookie(rl_view header, uint32_t *cursor, rl_pair *out);

#ifdef __cplusplus
}
#endif
