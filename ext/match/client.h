// Whose request is it? The client's address behind trusted proxies.
#pragma once
#include "match/attributes.h"

namespace rl {

// Walks the client header from its right end, where the proxies nearest to us wrote. Each step needs a reason to be
// believed:
//   - hops > 0: so many of our own proxies append an entry each, so the first `hops` entries are theirs; when there are
//   fewer,
//     the leftmost that there is;
//   - else: the address so far (the peer to begin with) lies in a trusted network, so what it wrote is believed.
// An entry that is no address ends the walk at the last believed one: whatever stands left of it came from outside.
// Blank entries are skipped. Any header but x-forwarded-for (x-envoy-external-address, cf-connecting-ip) holds one
// value, so one step is made. At most 64 entries are looked at. 1 and *out, or 0 when not even the peer is an address.
int client_address(const rl_request *request, const rl_client_rule *rule, rl_address *out);

}  // namespace rl
