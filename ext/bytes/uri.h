// The request target as ModSecurity 3.0.15 sees it: REQUEST_URI, REQUEST_FILENAME and their kin, in its bytes.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rl_uri {
  rl_view uri;       // REQUEST_URI: decoded once, without scheme and host, with the query
  rl_view filename;  // REQUEST_FILENAME and PATH_INFO: decoded once, scheme and host kept, without the query
  rl_view basename;  // REQUEST_BASENAME: what stands behind the last slash or backslash of filename; may be empty
  rl_view query;     // QUERY_STRING: as sent
} rl_uri;

// Reads a raw request target (REQUEST_URI_RAW). Everything from the first "#" on is ignored; the first raw "?" begins
// the query. Percent escapes are decoded once, broken ones stay, "+" stays; "http://host/a" loses its origin in uri
// only, and does so after the decoding. buffer: room for target.size bytes, which must live as long as the views.
void rl_uri_read(rl_view target, char *buffer, rl_uri *out);

#ifdef __cplusplus
}
#endif
