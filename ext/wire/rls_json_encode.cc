// envoy.service.ratelimit.v3.RateLimitResponse into JSON.
#include <iterator>

#include "wire/answer.h"
#include "wire/json_writer.h"
#include "wire/rls_messages.h"
#include "wire/struct_json.h"

namespace rl {
namespace {

// Of the fixed parts around a status or a header.
constexpr size_t kStatusRoom = 192;
constexpr size_t kHeaderRoom = 32;

std::string_view code_of(bool over) { return over ? "OVER_LIMIT" : "OK"; }

std::string_view unit_name(uint32_t unit) {
  static constexpr std::string_view kNames[] = {"", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR", "WEEK"};
  return unit < std::size(kNames) ? kNames[unit] : "";
}

void write_limit(JsonWriter *writer, const rl_descriptor_status &status) {
  writer->name("currentLimit");
  writer->begin('{');
  writer->number("requestsPerUnit", static_cast<uint32_t>(status.limit));
  writer->constant("unit", unit_name(unit_of_window(status.window_ms)));
  writer->text("name", status.name);
  writer->end('}');
}

void write_status(JsonWriter *writer, const rl_descriptor_status &status) {
  writer->begin_item();
  writer->constant("code", code_of(status.over));
  if (status.applies == RL_APPLIES_UNLIMITED) writer->number("limitRemaining", UINT32_MAX);
  if (status.applies == RL_APPLIES_LIMIT) {
    write_limit(writer, status);
    writer->number("limitRemaining", static_cast<uint32_t>(std::min<uint64_t>(status.remaining, UINT32_MAX)));
    writer->name("durationUntilReset");
    *writer->at++ = '"';
    writer->at = write_decimal(writer->at, status.reset_s);
    writer->at = copy(writer->at, std::string_view("s\""));
  }
  writer->end('}');
}

void write_header(void *context, rl_view name, rl_view value) {
  if (equals(name, "content-type")) return;  // there is no body
  auto *writer = static_cast<JsonWriter *>(context);
  writer->begin_item();
  writer->text("key", name);
  writer->name("value");
  writer->at = write_json_string(writer->at, value);
  writer->end('}');
}

void write_metadata(JsonWriter *writer, const rl_descriptor_answer &answer) {
  writer->name("dynamicMetadata");
  writer->begin('{');
  writer->name("metadata");
  writer->at = write_structs_json(writer->at, answer.metadata, answer.metadata_count);
  writer->end('}');
}

size_t room_of(const rl_descriptor_answer &answer, const rl_verdict &verdict) {
  size_t room = 256;
  for (uint32_t i = 0; i < answer.count; i++) room += kStatusRoom + json_text_room(answer.statuses[i].name);
  for (uint32_t i = 0; i < answer.metadata_count; i++) room += struct_json_room(answer.metadata[i].size);
  if (verdict.header_families) room += 6 * client_headers_room(verdict, kHeaderRoom);
  return room;
}

}  // namespace

void encode_rate_limit_json(const rl_descriptor_answer &answer, const rl_verdict &verdict, Buffer *out) {
  char *to = out->reserve(room_of(answer, verdict));
  if (!to) return;
  JsonWriter writer{to};
  writer.begin('{');
  writer.constant("overallCode", code_of(answer.over));
  writer.name("statuses");
  writer.begin('[');
  for (uint32_t i = 0; i < answer.count; i++) write_status(&writer, answer.statuses[i]);
  writer.end(']');
  if (verdict.header_families) {
    writer.name("responseHeadersToAdd");
    writer.begin('[');
    client_headers(verdict, write_header, &writer);
    writer.end(']');
  }
  if (answer.metadata_count) write_metadata(&writer, answer);
  writer.end('}');
  out->commit(static_cast<size_t>(writer.at - to));
}

}  // namespace rl
