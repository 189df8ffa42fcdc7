#include "bytes/address.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// Exactly four decimal octets without leading zeros, which some readers take for octal. Returns the end, or NULL.
const char *read_ipv4(const char *at, const char *end, uint8_t out[4]) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) {
      if (at == end || *at != '.') return nullptr;
      ++at;
    }
    if (at == end || !is_digit(*at)) return nullptr;
    unsigned value = static_cast<unsigned>(*at++ - '0');
    for (int digits = 1; digits < 3 && at != end && is_digit(*at); ++digits) {
      if (value == 0) return nullptr;
      value = value * 10 + static_cast<unsigned>(*at++ - '0');
    }
    if (value > 255) return nullptr;
    out[i] = static_cast<uint8_t>(value);
  }
  return at;
}

// All of [at, end) is one IPv6 address (RFC 4291 section 2.2).
bool read_ipv6(const char *at, const char *end, uint8_t out[16]) {
  uint8_t bytes[16] = {};
  int filled = 0, gap = -1;
  if (end - at < 2) return false;
  if (*at == ':') {
    if (at[1] != ':') return false;
    gap = 0;
    at += 2;
  }
  while (at != end) {
    if (filled == 16) return false;
    const char *group = at;
    unsigned value = 0;
    while (at != end && at - group < 4 && hex_value(*at) >= 0)
      value = value << 4 | static_cast<unsigned>(hex_value(*at++));
    if (at == group) return false;
    if (at != end && *at == '.') {
      if (filled > 12 || read_ipv4(group, end, bytes + filled) != end) return false;
      filled += 4;
      break;
    }
    bytes[filled++] = static_cast<uint8_t>(value >> 8);
    bytes[filled++] = static_cast<uint8_t>(value);
    if (at == end) break;
    if (*at++ != ':' || at == end) return false;
    if (*at == ':') {
      if (gap >= 0) return false;
      gap = filled;
      ++at;
    }
  }
  if (gap < 0) {
    if (filled != 16) return false;
  } else {
    if (filled == 16) return false;  // "::" stands for at least one group
    std::memmove(bytes + 16 - (filled - gap), bytes + gap, static_cast<size_t>(filled - gap));
    std::memset(bytes + gap, 0, static_cast<size_t>(16 - filled));
  }
  std::memcpy(out, bytes, 16);
  return true;
}

// ":" and 1 to 5 digits up to 65535, or nothing.
bool is_port_or_end(const char *at, const char *end) {
  if (at == end) return true;
  if (*at++ != ':' || end - at < 1 || end - at > 5) return false;
  unsigned port = 0;
  for (; at != end; ++at) {
    if (!is_digit(*at)) return false;
    port = port * 10 + static_cast<unsigned>(*at - '0');
  }
  return port <= 65535;
}

// An IPv6 address with an optional "%zone".
bool read_scoped_ipv6(const char *at, const char *end, uint8_t out[16]) {
  const void *zone = std::memchr(at, '%', static_cast<size_t>(end - at));
  if (zone) {
    const char *percent = static_cast<const char *>(zone);
    if (percent + 1 == end || std::memchr(percent + 1, '%', static_cast<size_t>(end - percent - 1))) return false;
    end = percent;
  }
  return read_ipv6(at, end, out);
}

char *write_decimal(char *at, unsigned value) {
  if (value >= 100) *at++ = static_cast<char>('0' + value / 100);
  if (value >= 10) *at++ = static_cast<char>('0' + value / 10 % 10);
  *at++ = static_cast<char>('0' + value % 10);
  return at;
}

char *write_group(char *at, unsigned value) {
  static const char digits[] = "0123456789abcdef";
  for (int shift = 12; shift > 0; shift -= 4) {
    if (value >> shift) *at++ = digits[value >> shift & 15];
  }
  *at++ = digits[value & 15];
  return at;
}

char *write_ipv6(char *at, const uint8_t bytes[16]) {
  unsigned groups[8];
  for (int i = 0; i < 8; ++i) groups[i] = static_cast<unsigned>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
  int best = -1, best_length = 1;  // a single zero group is written out (RFC 5952 section 4.2.2)
  for (int i = 0; i < 8;) {
    int length = 0;
    while (i + length < 8 && groups[i + length] == 0) ++length;
    if (length > best_length) best = i, best_length = length;
    i += length + 1;
  }
  for (int i = 0; i < 8; ++i) {
    if (i == best) {
      *at++ = ':';
      *at++ = ':';
      i += best_length - 1;
      continue;
    }
    if (i > 0 && !(best >= 0 && i == best + best_length)) *at++ = ':';
    at = write_group(at, groups[i]);
  }
  return at;
}

}  // namespace
}  // namespace rl

int rl_address_parse(rl_view text, rl_address *out) {
  if (text.size == 0) return 0;
  const char *at = text.data, *end = text.data + text.size;
  while (at != end && rl::is_blank(*at)) ++at;
  while (at != end && rl::is_blank(end[-1])) --end;
  if (at == end) return 0;
  uint8_t four[4];
  if (const char *rest = rl::read_ipv4(at, end, four)) {
    if (!rl::is_port_or_end(rest, end)) return 0;
    std::memcpy(out->bytes, rl::kMappedPrefix, 12);
    std::memcpy(out->bytes + 12, four, 4);
    return 1;
  }
  if (*at != '[') return rl::read_scoped_ipv6(at, end, out->bytes) ? 1 : 0;
  const char *close = static_cast<const char *>(std::memchr(at, ']', static_cast<size_t>(end - at)));
  if (!close || !rl::is_port_or_end(close + 1, end)) return 0;
  return rl::read_scoped_ipv6(at + 1, close, out->bytes) ? 1 : 0;
}

uint32_t rl_address_format(const rl_address *address, char out[46]) {
  char *at = out;
  if (rl_address_is_ipv4(address)) {
    for (int i = 12; i < 16; ++i) {
      if (i > 12) *at++ = '.';
      at = rl::write_decimal(at, address->bytes[i]);
    }
  } else {
    at = rl::write_ipv6(at, address->bytes);
  }
  return static_cast<uint32_t>(at - out);
}

int rl_network_contains(const rl_network *network, const rl_address *address) {
  unsigned prefix = network->prefix > 128 ? 128 : network->prefix;
  unsigned whole = prefix / 8, rest = prefix % 8;
  if (std::memcmp(network->address.bytes, address->bytes, whole) != 0) return 0;
  if (rest == 0) return 1;
  return (network->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

void rl_address_mask(rl_address *address, uint8_t prefix) {
  if (prefix >= 128) return;
  unsigned whole = prefix / 8u;
  address->bytes[whole] &= static_cast<uint8_t>(0xff00u >> (prefix % 8u));
  std::memset(address->bytes + whole + 1, 0, 15 - whole);
}

int rl_address_is_ipv4(const rl_address *address) { return std::memcmp(address->bytes, rl::kMappedPrefix, 12) == 0; }
