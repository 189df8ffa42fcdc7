#include <arpa/inet.h>

#include <cstring>

#include "bytes/ascii.h"
#include "bytes/operators.h"

namespace rl {
namespace {

// Strictly an address, as inet_pton() reads it: no port, no zone, no brackets.
bool parse_address(rl_view text, rl_address *out, uint8_t *ipv6) {
  char copy[INET6_ADDRSTRLEN];
  if (text.size == 0 || text.size >= sizeof copy) return false;
  std::memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  *ipv6 = std::memchr(copy, ':', text.size) != nullptr;
  if (*ipv6) return inet_pton(AF_INET6, copy, out->bytes) == 1;
  std::memset(out->bytes, 0, 10);
  out->bytes[10] = out->bytes[11] = 0xff;
  return inet_pton(AF_INET, copy, out->bytes + 12) == 1;
}

rl_view trimmed(const char *begin, const char *end) {
  while (begin < end && is_space(*begin)) ++begin;
  while (begin < end && is_space(end[-1])) --end;
  return {begin, static_cast<uint32_t>(end - begin)};
}

bool parse_range(rl_view text, rl_ip_range *out) {
  const char *end = text.data + text.size;
  const void *slash = std::memchr(text.data, '/', text.size);
  const char *mark = slash ? static_cast<const char *>(slash) : end;
  if (!parse_address(trimmed(text.data, mark), &out->network.address, &out->ipv6)) return false;
  int64_t most = out->ipv6 ? 128 : 32, bits = most;
  if (slash) {
    rl_view digits = trimmed(mark + 1, end);
    for (uint32_t i = 0; i < digits.size; ++i) {
      if (!is_digit(digits.data[i])) return false;
    }
    if (digits.size == 0 || (bits = rl_op_long(digits)) > most) return false;
  }
  out->network.prefix = static_cast<uint8_t>(128 - most + bits);
  rl_address_mask(&out->network.address, out->network.prefix);
  return true;
}

}  // namespace
}  // namespace rl

int rl_ip_range_next(rl_view param, uint32_t *cursor, rl_ip_range *out) {
  while (*cursor < param.size) {
    const char *begin = param.data + *cursor, *end = begin;
    while (end < param.data + param.size && *end != ',') ++end;
    *cursor += static_cast<uint32_t>(end - begin) + 1;
    rl_view part = rl::trimmed(begin, end);
    if (part.size > 0) return rl::parse_range(part, out) ? 1 : -1;
  }
  return 0;
}

int rl_op_ip_match(rl_view text, const rl_ip_range *ranges, uint32_t count) {
  rl_address address;
  uint8_t ipv6;
  if (!rl::parse_address(text, &address, &ipv6)) return 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (ranges[i].ipv6 == ipv6 && rl_network_contains(&ranges[i].network, &address)) return 1;
  }
  return 0;
}
