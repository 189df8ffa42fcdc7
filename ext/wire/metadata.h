// envoy.config.core.v3.Metadata: what the filters before us found out about a request (the claims of a token, say), by
// filter as a google.protobuf.Struct. Nothing of it is unpacked: a policy's name is looked up where the bytes lie.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rl {

// Fields that the look-ups for one request may pass over in all, whatever lies there: well under a millisecond.
inline constexpr uint32_t kMaxMetadataSteps = 1 << 16;

// Is it well-formed, and not nested deeper than protobuf's parsers go?
bool is_metadata(rl_view metadata);

// Finds the google.protobuf.Value that a name leads to: the filter, then keys and places in lists, joined by dots
// ("envoy.filters.http.jwt_authn.payload.roles.0"). Keys may hold dots themselves. False when there is none, when it
// lies more than 8 levels below its filter, or when *steps, which counts down, has run out.
bool find_metadata(rl_view metadata, rl_view name, uint32_t *steps, rl_view *value);

// The text of a value: a string as it is, true and false, a number in its shortest form (whole ones without a point),
// a list as the texts of its items with a space between. False for null and for an object; both are left out of lists.
// A string is a view of the value; other text is written to `room`, which has metadata_room() bytes.
size_t metadata_room(rl_view value);
bool metadata_text(rl_view value, char *room, rl_view *out);

}  // namespace rl
