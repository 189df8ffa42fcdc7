// Forward authentication: a proxy asks with a request of its own, whose header fields tell what it was asked.
//
// Each kind of proxy has a path, because each tells in its own way, and a client may send any field that its proxy does
// not set itself: what one proxy says truly another passes on from whoever wrote it. The table is in docs/doors.md.
//
//   /auth            X-Original-Method, X-Original-URI, Host
//   /auth/nginx      the same; a denial is 403 whatever the verdict says: auth_request knows 2xx, 401 and 403
//   /auth/haproxy    as /auth
//   /auth/traefik    X-Forwarded-Method, X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Proto
//   /auth/caddy      as /auth/traefik
//   /auth/envoy/...  the method and what follows in the path
//
// In all of them the last entry of X-Forwarded-For is the address that the proxy was asked from. Options come from
// whoever configured the proxy, behind the path: "/auth/nginx;domain=shop;deny_status=401". Never from the query: some
// proxies leave the client's there.
#pragma once
#include "wire/http.h"
#include "wire/messages.h"

namespace rl {

struct AuthDoor {
  int method;            // RL_METHOD_AUTH...
  rl_view domain;        // empty: the default
  rl_view rest;          // of the path, for Envoy
  uint16_t deny_status;  // to send whatever the verdict says; 0: the verdict's
};

// Does the target lead to this door? NULL means it does; *found false: to another.
DecodeError read_auth_target(rl_view target, bool *found, AuthDoor *door);

DecodeError decode_forward_auth(const HttpCall &call, const AuthDoor &door, RequestArena *arena, rl_request *out);
void encode_forward_auth(const rl_verdict &verdict, const AuthDoor &door, HttpAnswer *answer);

}  // namespace rl
