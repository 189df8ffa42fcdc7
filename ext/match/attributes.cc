#include "match/attributes.h"

#include <new>
#include <random>

#include "bytes/query.h"
#include "match/arena.h"
#include "match/client.h"
#include "match/fields.h"
#include "match/text.h"
#include "wire/metadata.h"

// What has been computed for this request so far.
enum : uint32_t {
  kTarget = 1,
  kPath = 2,
  kHost = 4,
  kQuery = 8,
  kCookies = 16,
  kClient = 32,
  kClientText = 64,
};

struct rl_attributes {
  const rl_request *request;
  const rl_client_rule *client;
  uint32_t computed;
  bool client_known;
  rl_address client_address;
  rl_view client_text;
  rl_view raw_path;
  rl_view raw_query;
  rl_view path;
  rl_view host;
  rl::Fields query;
  rl::Fields cookies;
  rl::Arena arena;
  uint64_t seed;
  uint32_t metadata_steps;  // left
};

namespace rl {
namespace {

// True the first time.
bool begin(rl_attributes *a, uint32_t what) {
  const bool first = (a->computed & what) == 0;
  a->computed |= what;
  return first;
}

void split_target(rl_attributes *a) {
  if (begin(a, kTarget)) rl_target_split(a->request->path, &a->raw_path, &a->raw_query);
}

int present(rl_view value, rl_view *out) {
  *out = value;
  return value.size != 0;
}

int get_path(rl_attributes *a, rl_view *out) {
  if (a->request->path.size == 0) return 0;
  split_target(a);
  if (begin(a, kPath)) {
    auto *text = static_cast<char *>(arena_take(&a->arena, size_t{a->raw_path.size} + 1));
    a->path = {};
    if (text != nullptr) {
      a->path = {text, rl_path_normalize(a->raw_path, text)};
      arena_trim(&a->arena, text + a->path.size);
    }
  }
  return present(a->path, out);
}

int get_raw_path(rl_attributes *a, rl_view *out) {
  if (a->request->path.size == 0) return 0;
  split_target(a);
  *out = a->raw_path;
  return 1;
}

// "Example.COM.:443" is example.com, "[::1]:80" is [::1]; a bare IPv6 address has no port to cut.
rl_view without_port(rl_view host) {
  if (host.size == 0) return host;
  const auto *colon = static_cast<const char *>(memchr(host.data, ':', host.size));
  if (host.data[0] == '[') {
    const auto *bracket = static_cast<const char *>(memchr(host.data, ']', host.size));
    if (bracket != nullptr) host.size = static_cast<uint32_t>(bracket - host.data) + 1;
  } else if (colon != nullptr && memrchr(host.data, ':', host.size) == colon) {
    host.size = static_cast<uint32_t>(colon - host.data);
  }
  if (host.size != 0 && host.data[host.size - 1] == '.') host.size--;
  return host;
}

rl_view lower(Arena *arena, rl_view text) {
  uint32_t at = 0;
  while (text.size - at >= 8 && to_lower_word(load_8(text.data + at)) == load_8(text.data + at)) at += 8;
  while (at < text.size && to_lower(text.data[at]) == text.data[at]) at++;
  if (at == text.size) return text;
  auto *out = static_cast<char *>(arena_take(arena, text.size));
  if (out == nullptr) return {};
  for (uint32_t i = 0; i < text.size; i++) out[i] = to_lower(text.data[i]);
  return {out, text.size};
}

int get_host(rl_attributes *a, rl_view *out) {
  if (begin(a, kHost)) a->host = lower(&a->arena, without_port(a->request->host));
  return present(a->host, out);
}

int get_client_text(rl_attributes *a, rl_view *out) {
  if (begin(a, kClientText)) {
    rl_address address;
    a->client_text = {};
    if (rl_attributes_client(a, &address)) {
      const bool ipv4 = rl_address_is_ipv4(&address) != 0;
      rl_address_mask(&address, ipv4 ? static_cast<uint8_t>(96 + a->client->ipv4_prefix) : a->client->ipv6_prefix);
      auto *text = static_cast<char *>(arena_take(&a->arena, 46));
      if (text != nullptr) a->client_text = {text, rl_address_format(&address, text)};
    }
  }
  return present(a->client_text, out);
}

// The first pair of that name: a walk that compares lengths before bytes.
int find_pair(const rl_pair *pairs, uint32_t count, rl_view name, rl_view *out) {
  for (uint32_t i = 0; i < count; i++) {
    if (!same(pairs[i].name, name)) continue;
    *out = pairs[i].value;
    return 1;
  }
  return 0;
}

int get_query(rl_attributes *a, rl_view name, rl_view *out) {
  split_target(a);
  if (begin(a, kQuery)) a->query = fields_of_query(&a->arena, a->raw_query, a->seed);
  return fields_find(&a->query, name, out);
}

int get_cookie(rl_attributes *a, rl_view name, rl_view *out) {
  if (begin(a, kCookies)) a->cookies = fields_of_cookies(&a->arena, a->request, a->seed);
  return fields_find(&a->cookies, name, out);
}

// "metadata.envoy.filters.http.jwt_authn.payload.sub"
int get_metadata(rl_attributes *a, rl_view name, rl_view *out) {
  constexpr std::string_view kPrefix = "metadata.";
  if (!text_of(name).starts_with(kPrefix)) return 0;
  rl_view value;
  if (!find_metadata(a->request->metadata, view_of(text_of(name).substr(kPrefix.size())), &a->metadata_steps, &value))
    return 0;
  auto *room = static_cast<char *>(arena_take(&a->arena, metadata_room(value)));
  if (room == nullptr) return 0;
  const bool found = metadata_text(value, room, out);
  arena_trim(&a->arena, found && out->data == room ? room + out->size : room);
  return found;
}

}  // namespace
}  // namespace rl

rl_attributes *rl_attributes_new(void) {
  auto *attributes = new (std::nothrow) rl_attributes();
  if (attributes == nullptr) return nullptr;
  try {
    std::random_device random;
    attributes->seed = (uint64_t{random()} << 32) | random();
  } catch (...) {  // no entropy source: addresses are random enough to slow down a guesser
    attributes->seed = reinterpret_cast<uintptr_t>(attributes) * 0x9e3779b97f4a7c15u;
  }
  return attributes;
}

void rl_attributes_free(rl_attributes *attributes) {
  if (attributes == nullptr) return;
  rl::arena_free(&attributes->arena);
  delete attributes;
}

void rl_attributes_reset(rl_attributes *attributes, const rl_request *request, const rl_client_rule *client) {
  attributes->request = request;
  attributes->client = client;
  attributes->computed = 0;
  attributes->metadata_steps = rl::kMaxMetadataSteps;
  rl::arena_reset(&attributes->arena);
}

int rl_attributes_get(rl_attributes *attributes, int source, rl_view name, rl_view *out) {
  const rl_request *request = attributes->request;
  switch (source) {
    case RL_SOURCE_CONSTANT:
      *out = name;
      return 1;
    case RL_SOURCE_CLIENT_IP:
      return rl::get_client_text(attributes, out);
    case RL_SOURCE_METHOD:
      return rl::present(request->method, out);
    case RL_SOURCE_HOST:
      return rl::get_host(attributes, out);
    case RL_SOURCE_PATH:
      return rl::get_path(attributes, out);
    case RL_SOURCE_RAW_PATH:
      return rl::get_raw_path(attributes, out);
    case RL_SOURCE_SCHEME:
      return rl::present(request->scheme, out);
    case RL_SOURCE_HEADER:
      return rl::find_pair(request->headers, request->header_count, name, out);
    case RL_SOURCE_COOKIE:
      return rl::get_cookie(attributes, name, out);
    case RL_SOURCE_QUERY:
      return rl::get_query(attributes, name, out);
    case RL_SOURCE_ATTRIBUTE:
      return rl::find_pair(request->attributes, request->attribute_count, name, out) ||
             (request->metadata.size != 0 && rl::get_metadata(attributes, name, out));
    default:  // path parameters belong to a match, see rl_matcher_param
      return 0;
  }
}

int rl_attributes_client(rl_attributes *attributes, rl_address *out) {
  if (rl::begin(attributes, kClient)) {
    attributes->client_known =
        rl::client_address(attributes->request, attributes->client, &attributes->client_address) != 0;
  }
  if (attributes->client_known) *out = attributes->client_address;
  return attributes->client_known;
}
