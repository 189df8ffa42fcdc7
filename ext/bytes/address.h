// IP addresses as 16 bytes (IPv4 mapped into ::ffff:0:0/96), their text, and networks.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rl_address {
  uint8_t bytes[16];
} rl_address;

typedef struct rl_network {
  rl_address address;
  uint8_t prefix;  // over the 128 bits
} rl_network;

// Parses "203.0.113.7", "2001:db8::1", with an optional port ("1.2.3.4:80", "[::1]:80"), an optional zone (ignored) and
// surrounding blanks. 1 when it is an address, else 0.
int rl_address_parse(rl_view text, rl_address *out);
// Writes the canonical text (RFC 5952); returns its length, at most 46.
uint32_t rl_address_format(const rl_address *address, char out[46]);
int rl_network_contains(const rl_network *network, const rl_address *address);
// Keeps the first prefix bits.
void rl_address_mask(rl_address *address, uint8_t prefix);
int rl_address_is_ipv4(const rl_address *address);

#ifdef __cplusplus
}
#endif
