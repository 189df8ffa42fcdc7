#include "wire/forward_auth.h"

#include "bytes/address.h"
#include "wire/answer.h"
#include "wire/decode.h"

namespace rl {
namespace {

constexpr std::string_view kPath = "/auth";

// How a proxy tells what it was asked.
struct Proxy {
  std::string_view name;  // the segment behind /auth
  int method;
  std::string_view method_field, target_field;  // empty: the method and path of the question itself
  bool tells_host;                              // X-Forwarded-Host is its own word
  uint16_t deny_status;
  bool query_is_clients = false;  // it asks with the client's query behind the path that it was told to use
};

constexpr std::string_view kOriginalMethod = "x-original-method", kOriginalTarget = "x-original-uri";
constexpr std::string_view kForwardedMethod = "x-forwarded-method", kForwardedTarget = "x-forwarded-uri";

constexpr Proxy kProxies[] = {
    {"", RL_METHOD_AUTH, kOriginalMethod, kOriginalTarget, false, 0},
    {"nginx", RL_METHOD_AUTH_NGINX, kOriginalMethod, kOriginalTarget, false, 403},
    {"haproxy", RL_METHOD_AUTH_HAPROXY, kOriginalMethod, kOriginalTarget, false, 0},
    {"traefik", RL_METHOD_AUTH_TRAEFIK, kForwardedMethod, kForwardedTarget, true, 0},
    {"caddy", RL_METHOD_AUTH_CADDY, kForwardedMethod, kForwardedTarget, true, 0, true},
    {"envoy", RL_METHOD_AUTH_ENVOY, {}, {}, false, 0},
};

const Proxy &proxy_of(int method) { return kProxies[method - RL_METHOD_AUTH]; }
static_assert(kProxies[5].method == RL_METHOD_AUTH + 5);

DecodeError read_option(std::string_view option, AuthDoor *door) {
  constexpr std::string_view kDomain = "domain=", kDenyStatus = "deny_status=";
  if (option.starts_with(kDomain)) {
    door->domain = view_of(option.substr(kDomain.size()));
    return nullptr;
  }
  if (!option.starts_with(kDenyStatus)) return "path: has an option that is not domain or deny_status";
  uint32_t status = 0;
  if (!parse_decimal(view_of(option.substr(kDenyStatus.size())), &status) || status < 400 || status > 499) {
    return "deny_status: must be a status from 400 to 499";
  }
  door->deny_status = static_cast<uint16_t>(status);
  return nullptr;
}

DecodeError read_options(std::string_view text, AuthDoor *door) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    if (DecodeError error = read_option(text.substr(0, end), door)) return error;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return nullptr;
}

// The fields that go from hop to hop (RFC 9110 7.6.1), and what frames the question: none of them is the client's.
bool belongs_to_question(rl_view name) {
  switch (name.size) {
    case 2:
      return equals(name, "te");
    case 4:
      return equals(name, "host");
    case 6:
      return equals(name, "expect");
    case 7:
      return equals(name, "upgrade");
    case 10:
      return equals(name, "connection") || equals(name, "keep-alive");
    case 14:
      return equals(name, "content-length");
    case 16:
      return equals(name, "proxy-connection");
    case 17:
      return equals(name, "transfer-encoding");
    default:
      return false;
  }
}

// The last entry of a list.
rl_view last_entry(rl_view list) {
  const size_t comma = to_string_view(list).rfind(',');
  if (comma == std::string_view::npos) return list;
  const auto at = static_cast<uint32_t>(comma) + 1;
  return {list.data + at, list.size - at};
}

// What the fields of a question say beside what they pass on.
struct Told {
  rl_view method{}, target{}, scheme{}, host{}, forwarded_for{};
  bool twice = false;  // a field that tells came twice: whose word is it?

  void once(rl_view *at, rl_view value) {
    twice |= at->data != nullptr;
    *at = value;
  }
};

// Takes a field that tells something. False: it is only passed on.
bool take_told(const Proxy &proxy, const rl_pair &field, Told *told) {
  switch (field.name.size) {
    case 14:
      if (!equals(field.name, proxy.target_field)) return false;
      told->once(&told->target, field.value);
      return true;
    case 15:
      if (equals(field.name, "x-forwarded-for")) {
        told->forwarded_for = field.value;
        return false;
      }
      if (!equals(field.name, proxy.target_field)) return false;
      told->once(&told->target, field.value);
      return true;
    case 16:
      if (proxy.tells_host && equals(field.name, "x-forwarded-host")) told->once(&told->host, field.value);
      return false;
    case 17:
      if (equals(field.name, "x-forwarded-proto")) told->scheme = field.value;
      if (!equals(field.name, proxy.method_field)) return false;
      told->once(&told->method, field.value);
      return true;
    case 18:
      if (!equals(field.name, proxy.method_field)) return false;
      told->once(&told->method, field.value);
      return true;
    default:
      return false;
  }
}

DecodeError missing(const Proxy &proxy, bool method) {
  if (proxy.tells_host) {
    return method ? "X-Forwarded-Method: missing: the proxy must say what it was asked"
                  : "X-Forwarded-Uri: missing: the proxy must say what it was asked";
  }
  return method ? "X-Original-Method: missing: the proxy must say what it was asked"
                : "X-Original-URI: missing: the proxy must say what it was asked";
}

DecodeError check_told(const Proxy &proxy, const Told &told) {
  rl_address address;
  if (told.twice) return "headers: what the proxy was asked is told twice: it must replace what a client sends";
  if (told.method.size == 0) return missing(proxy, true);
  if (told.target.size == 0) return missing(proxy, false);
  if (told.forwarded_for.data == nullptr) return "X-Forwarded-For: missing: the proxy must say who asked it";
  if (!rl_address_parse(last_entry(told.forwarded_for), &address)) {
    return "X-Forwarded-For: must end with an IP address";
  }
  return nullptr;
}

// The status by which this proxy takes a denial for one: 2xx would let the request pass, and to Envoy 5xx is a failure
// of ours, which it may be told to pass over.
uint32_t status_to_send(const AuthDoor &door, uint32_t status) {
  if (door.deny_status) return door.deny_status;
  return status < 400 || (door.method == RL_METHOD_AUTH_ENVOY && status >= 500) ? 403 : status;
}

void add_client_header(void *context, rl_view name, rl_view value) {
  static_cast<HttpAnswer *>(context)->add(to_string_view(name), value);
}

}  // namespace

DecodeError read_auth_target(rl_view target, bool *found, AuthDoor *door) {
  std::string_view text = to_string_view(target);
  *found = false;
  if (!text.starts_with(kPath)) return nullptr;
  text.remove_prefix(kPath.size());
  std::string_view name;
  if (text.starts_with('/')) {
    text.remove_prefix(1);
    const size_t end = std::min(text.find_first_of("/?;"), text.size());
    name = text.substr(0, end);
    if (name.empty()) return nullptr;
    text.remove_prefix(end);
  }
  const Proxy *proxy = nullptr;
  for (const Proxy &known : kProxies) {
    if (known.name == name) proxy = &known;
  }
  if (!proxy || (!text.empty() && text[0] != '?' && text[0] != ';' && text[0] != '/')) return nullptr;
  *door = {.method = proxy->method, .domain = {}, .rest = {}, .deny_status = proxy->deny_status};
  std::string_view options;
  if (text.starts_with(';')) {
    const size_t end = std::min(text.find_first_of("/?"), text.size());
    options = text.substr(1, end - 1);
    text.remove_prefix(end);
  }
  const bool takes_rest = proxy->method_field.empty();
  if (!takes_rest && text.starts_with('/')) return nullptr;
  *found = true;
  if (takes_rest) {
    door->rest = text.empty() ? rl_view{"/", 1} : view_of(text);
  } else if (!text.empty() && !proxy->query_is_clients) {
    return "query: options stand behind a semicolon, not here";
  }
  return read_options(options, door);
}

DecodeError decode_forward_auth(const HttpCall &call, const AuthDoor &door, RequestArena *arena, rl_request *out) {
  const Proxy &proxy = proxy_of(door.method);
  RequestDraft draft({}, arena, out);
  Told told;
  for (uint32_t i = 0; i < call.field_count; i++) {
    const rl_pair &field = call.fields[i];
    if (!belongs_to_question(field.name) && !take_told(proxy, field, &told)) {
      add_header(&draft, field.name, field.value);
    }
  }
  if (proxy.method_field.empty()) {
    told.method = call.method;
    told.target = door.rest;
  }
  if (DecodeError error = check_told(proxy, told)) draft.fail(error);
  out->domain = door.domain;
  out->source_address = last_entry(told.forwarded_for);
  out->method = told.method;
  out->path = told.target;
  out->host = told.host.size ? told.host : call.authority;
  out->scheme = told.scheme;
  out->body = call.body;
  out->partial_body = draft.envoy_partial_body;
  out->has_body = call.body.size != 0 || out->partial_body;
  if (out->host.size) add_header(&draft, view_of("host"), out->host);
  return draft.finish();
}

void encode_forward_auth(const rl_verdict &verdict, const AuthDoor &door, HttpAnswer *answer) {
  client_headers(verdict, add_client_header, answer);
  if (verdict.decision != RL_DENY) return;
  const uint32_t status = denial_status(verdict);
  answer->status = static_cast<uint16_t>(status_to_send(door, status));
  if (answer->status != status) {
    char digits[20];
    answer->add("x-ratelimitd-status", {digits, static_cast<uint32_t>(write_decimal(digits, status) - digits)});
  }
  denial_body(verdict, answer->body);
}

}  // namespace rl
