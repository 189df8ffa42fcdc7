// SecLang's operators on one value, in the semantics of libmodsecurity 3.0.15. Each returns 1 when it matches, else 0.
// param is the operator's argument after macro expansion.
#pragma once
#include "bytes/address.h"
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

// operators_text.cc
int rl_op_begins_with(rl_view text, rl_view param);
int rl_op_ends_with(rl_view text, rl_view param);
int rl_op_contains(rl_view text, rl_view param);  // also @strmatch
int rl_op_contains_word(rl_view text, rl_view param);
int rl_op_streq(rl_view text, rl_view param);
int rl_op_within(rl_view text, rl_view param);  // the text is part of the param

// operators_number.cc: @eq compares rl_op_int of both sides (as stoi: 0 when out of range), @ge, @gt, @le and @lt
// compare rl_op_long (as atoll: saturated). No number is 0.
int32_t rl_op_int(rl_view text);
int64_t rl_op_long(rl_view text);

// operators_bytes.cc
typedef struct rl_byte_set {
  uint8_t rows[32];  // bit high & 7 of rows[(high >> 3) * 16 + low], for a byte of these nibbles
} rl_byte_set;

// "10,13,32-126". Returns how many of the parts are no range: ModSecurity skips them.
uint32_t rl_byte_set_parse(rl_view param, rl_byte_set *set);
int rl_op_outside(rl_view text, const rl_byte_set *set);  // @validateByteRange
int rl_op_bad_url_encoding(rl_view text);                 // @validateUrlEncoding
int rl_op_bad_utf8(rl_view text);                         // @validateUtf8Encoding

// operators_address.cc: @ipMatch.
typedef struct rl_ip_range {
  rl_network network;
  uint8_t ipv6;  // IPv4 and IPv6 never match each other, not even when mapped
} rl_ip_range;

// The next of "10.0.0.0/8, ::1" from *cursor (0 at first). 1: a range, 0: the end, -1: none (then *cursor is behind
// it).
int rl_ip_range_next(rl_view param, uint32_t *cursor, rl_ip_range *out);
int rl_op_ip_match(rl_view text, const rl_ip_range *ranges, uint32_t count);

// operators_digits.cc: what @verifyCC, @verifyCPF, @verifySSN and @verifySVNR ask of what their pattern matched.
int rl_is_card(rl_view match);  // Luhn (ISO/IEC 7812)
int rl_is_cpf(rl_view match);
int rl_is_ssn(rl_view match);
int rl_is_svnr(rl_view match);

#ifdef __cplusplus
}
#endif
