// What policies can select on, computed from a request at most once and only when asked. One per worker; reset per
// request.
#pragma once
#include "bytes/address.h"
#include "core/request.h"

#ifdef __cplusplus
extern "C" {
#endif

// plan.Source, by number.
enum {
  RL_SOURCE_CONSTANT = 0,
  RL_SOURCE_CLIENT_IP = 1,
  RL_SOURCE_METHOD = 2,
  RL_SOURCE_HOST = 3,
  RL_SOURCE_PATH = 4,
  RL_SOURCE_RAW_PATH = 5,
  RL_SOURCE_SCHEME = 6,
  RL_SOURCE_HEADER = 7,
  RL_SOURCE_COOKIE = 8,
  RL_SOURCE_QUERY = 9,
  RL_SOURCE_PATH_PARAM = 10,
  RL_SOURCE_ATTRIBUTE = 11,
};

// plan.Client. Owned by the snapshot.
typedef struct rl_client_rule {
  const rl_network *trusted;
  uint32_t trusted_count;
  uint32_t hops;
  rl_view header;
  uint8_t ipv4_prefix;  // over 32
  uint8_t ipv6_prefix;  // over 128
} rl_client_rule;

typedef struct rl_attributes rl_attributes;  // opaque; holds a growing text area

rl_attributes *rl_attributes_new(void);
void rl_attributes_free(rl_attributes *attributes);
// Forgets the last request. request and client must outlive the use.
void rl_attributes_reset(rl_attributes *attributes, const rl_request *request, const rl_client_rule *client);

// 1 and *out, or 0 when the request has no such value: an empty method, host, scheme or path is none, an empty header
// is one. name: header (lower-case), cookie, query parameter or attribute (one that the request lacks may lie in its
// metadata); else ignored. CLIENT_IP gives the canonical
// text of the address masked to the client rule's prefix (what keys are made of).
int rl_attributes_get(rl_attributes *attributes, int source, rl_view name, rl_view *out);
// The client's full address: from the right of the client header, skipping trusted networks or hops; the peer when
// there is none. Headers other than x-forwarded-for hold one value, believed when the peer is trusted or hops > 0. 0
// when no address is known: then CLIENT_IP is absent. See match/client.h.
int rl_attributes_client(rl_attributes *attributes, rl_address *out);

#ifdef __cplusplus
}
#endif
