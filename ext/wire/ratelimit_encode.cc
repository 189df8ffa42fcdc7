// ratelimitd.v1.CheckResponse, CheckBatchResponse and InspectResponseResponse: proto/ratelimitd/v1/ratelimit.proto.
#include "wire/answer.h"

namespace rl {

namespace {

// Framing of one Header, LimitState or RuleMatch beside its texts; a LimitState has four numbers of up to ten bytes.
constexpr size_t kHeaderFraming = 12;
constexpr size_t kStateFraming = 64;
constexpr size_t kMatchFraming = 24;

size_t text_room(rl_view text) { return std::min(text.size, kMaxText); }

size_t room_of(const rl_verdict &verdict) {
  // The numbers, the reference, and decided_by, which is one of the names below.
  size_t room = 128 + kMaxText + text_room(verdict.domain) + client_headers_room(verdict, kHeaderFraming);
  for (uint32_t i = 0; i < verdict.state_count; i++) room += kStateFraming + text_room(verdict.states[i].name);
  for (uint32_t i = 0; i < verdict.match_count; i++) {
    room += kMatchFraming + text_room(verdict.matches[i].id) + text_room(verdict.matches[i].target);
  }
  return room;
}

void write_state(ProtoWriter *writer, const rl_limit_state &state) {
  char *mark = writer->begin<2>(5);
  writer->optional_text(1, state.name);
  writer->number(2, state.limit);
  writer->number(3, state.remaining);
  writer->number(4, state.window_ms);
  writer->number(5, state.reset_after_ms);
  writer->number(6, state.over);
  writer->number(7, state.shadow);
  writer->number(8, state.unlimited);
  writer->end<2>(mark);
}

void write_match(ProtoWriter *writer, uint32_t field, const rl_rule_match &match) {
  char *mark = writer->begin<2>(field);
  writer->optional_text(1, match.id);
  writer->optional_text(2, match.target);
  writer->number(3, match.score);
  writer->end<2>(mark);
}

template <uint32_t field>
void write_header(void *context, rl_view name, rl_view value) {
  auto writer = static_cast<ProtoWriter *>(context);
  char *mark = writer->begin<2>(field);
  writer->bytes(1, name);
  writer->bytes(2, value);
  writer->end<2>(mark);
}

void write_reference(ProtoWriter *writer, uint32_t field, const rl_verdict &verdict) {
  if (verdict.decision != RL_DENY || !verdict.reference) return;
  char hex[16];
  write_hex(hex, verdict.reference);
  writer->bytes(field, {hex, 16});
}

void write_check(ProtoWriter *writer, const rl_verdict &verdict) {
  bool denied = verdict.decision == RL_DENY;
  writer->number(1, denied ? 2 : 1);
  writer->number(2, denied ? denial_status(verdict) : verdict.status);
  writer->number(3, verdict.reason);
  writer->optional_text(4, decided_by(verdict));
  for (uint32_t i = 0; i < verdict.state_count; i++) write_state(writer, verdict.states[i]);
  for (uint32_t i = 0; i < verdict.match_count; i++) write_match(writer, 6, verdict.matches[i]);
  writer->number(7, verdict.score);
  writer->number(8, verdict.bytes_inspected);
  writer->number(9, verdict.inspected_all);
  client_headers(verdict, write_header<10>, writer);
  write_reference(writer, 11, verdict);
  writer->number(12, verdict.shadow_denied);
  writer->optional_text(13, verdict.domain);
}

void write_inspect(ProtoWriter *writer, const rl_verdict &verdict) {
  bool denied = verdict.decision == RL_DENY;
  writer->number(1, denied ? 2 : 1);
  writer->number(2, denied ? denial_status(verdict) : verdict.status);
  writer->number(3, verdict.reason);
  writer->optional_text(4, decided_by(verdict));
  for (uint32_t i = 0; i < verdict.match_count; i++) write_match(writer, 5, verdict.matches[i]);
  writer->number(6, verdict.score);
  writer->number(7, verdict.bytes_inspected);
  writer->number(8, verdict.inspected_all);
  client_headers(verdict, write_header<9>, writer);
  write_reference(writer, 10, verdict);
  writer->number(11, verdict.shadow_denied);
  writer->optional_text(12, verdict.domain);
}

}  // namespace

void encode_check(const rl_verdict &verdict, Buffer *out) {
  char *to = out->reserve(room_of(verdict));
  if (!to) return;
  ProtoWriter writer{to};
  write_check(&writer, verdict);
  out->commit(static_cast<size_t>(writer.at - to));
}

void encode_inspect_response(const rl_verdict &verdict, Buffer *out) {
  char *to = out->reserve(room_of(verdict));
  if (!to) return;
  ProtoWriter writer{to};
  write_inspect(&writer, verdict);
  out->commit(static_cast<size_t>(writer.at - to));
}

void append_batch_response(const rl_verdict &verdict, Buffer *out) {
  char *to = out->reserve(room_of(verdict) + 8);
  if (!to) return;
  ProtoWriter writer{to};
  char *mark = writer.begin<3>(1);
  write_check(&writer, verdict);
  writer.end<3>(mark);
  out->commit(static_cast<size_t>(writer.at - to));
}

}  // namespace rl
