// CheckResponse into JSON.
#include "wire/answer.h"
#include "wire/base64.h"
#include "wire/json_messages.h"
#include "wire/json_writer.h"

namespace rl {
namespace {

// Of the fixed parts around a limit, a match or a header.
constexpr size_t kItemRoom = 256;
constexpr size_t kHeaderRoom = 48;

size_t room_of(const rl_verdict &verdict) {
  // A header's value grows by a third.
  size_t room = 1024 + json_text_room(verdict.domain) + json_text_room(decided_by(verdict)) +
                2 * client_headers_room(verdict, kHeaderRoom);
  for (uint32_t i = 0; i < verdict.state_count; i++) room += kItemRoom + json_text_room(verdict.states[i].name);
  for (uint32_t i = 0; i < verdict.match_count; i++) {
    room += kItemRoom + json_text_room(verdict.matches[i].id) + json_text_room(verdict.matches[i].target);
  }
  return room;
}

std::string_view reason_constant(uint8_t reason) {
  static constexpr std::string_view kNames[RL_REASON_COUNT] = {
      "",
      "REASON_ALLOW_LIST",
      "REASON_DENY_LIST",
      "REASON_OVER_LIMIT",
      "REASON_SCAN",
      "REASON_PARTIAL_BODY",
      "REASON_NO_POLICY",
      "REASON_OVERLOAD",
      "REASON_PENALTY",
      "REASON_STORE_LOST",
  };
  return reason < RL_REASON_COUNT ? kNames[reason] : "";
}

void write_state(JsonWriter *writer, const rl_limit_state &state) {
  writer->begin_item();
  writer->text("name", state.name);
  writer->large_number("limit", state.limit);
  writer->large_number("remaining", state.remaining);
  writer->number("windowMs", state.window_ms);
  writer->number("resetAfterMs", state.reset_after_ms);
  writer->flag("over", state.over);
  writer->flag("shadow", state.shadow);
  writer->flag("unlimited", state.unlimited);
  writer->end('}');
}

void write_match(JsonWriter *writer, const rl_rule_match &match) {
  writer->begin_item();
  writer->text("id", match.id);
  writer->text("target", match.target);
  writer->number("score", match.score);
  writer->end('}');
}

void write_header(void *context, rl_view name, rl_view value) {
  auto *writer = static_cast<JsonWriter *>(context);
  writer->begin_item();
  writer->text("name", name);
  writer->name("value");
  *writer->at++ = '"';
  writer->at = write_base64(writer->at, value);
  *writer->at++ = '"';
  writer->end('}');
}

void write_limits(JsonWriter *writer, const rl_verdict &verdict) {
  if (verdict.state_count == 0) return;
  writer->name("limits");
  writer->begin('[');
  for (uint32_t i = 0; i < verdict.state_count; i++) write_state(writer, verdict.states[i]);
  writer->end(']');
}

void write_matches(JsonWriter *writer, const rl_verdict &verdict) {
  if (verdict.match_count == 0) return;
  writer->name("matches");
  writer->begin('[');
  for (uint32_t i = 0; i < verdict.match_count; i++) write_match(writer, verdict.matches[i]);
  writer->end(']');
}

}  // namespace

void encode_check_json(const rl_verdict &verdict, Buffer *out) {
  char *to = out->reserve(room_of(verdict));
  if (!to) return;
  const bool denied = verdict.decision == RL_DENY;
  JsonWriter writer{to};
  writer.begin('{');
  writer.constant("decision", denied ? "DECISION_DENY" : "DECISION_ALLOW");
  writer.number("status", denied ? denial_status(verdict) : verdict.status);
  writer.constant("reason", reason_constant(verdict.reason));
  writer.text("decidedBy", decided_by(verdict));
  write_limits(&writer, verdict);
  write_matches(&writer, verdict);
  writer.number("score", verdict.score);
  writer.large_number("bytesInspected", verdict.bytes_inspected);
  writer.flag("inspectedAll", verdict.inspected_all);
  writer.name("headers");
  writer.begin('[');
  client_headers(verdict, write_header, &writer);
  writer.end(']');
  if (denied && verdict.reference) {
    char hex[16];
    write_hex(hex, verdict.reference);
    writer.constant("reference", {hex, sizeof hex});
  }
  writer.flag("shadowDenied", verdict.shadow_denied);
  writer.text("domain", verdict.domain);
  writer.end('}');
  out->commit(static_cast<size_t>(writer.at - to));
}

}  // namespace rl
