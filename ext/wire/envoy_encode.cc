// envoy.service.auth.v3.CheckResponse. What Envoy makes of it decides its shape: status 0 allows whatever else is said,
// any other status needs denied_response for anything but a bare 403, and dynamic_metadata is read in both cases.
#include "wire/answer.h"

namespace rl {

namespace {

// google.rpc.Code of a denial: never 0. Envoy only asks whether it is 0; logs and other readers see the rest.
uint32_t rpc_code(uint32_t status) {
  switch (status) {
    case 401:
      return 16;  // UNAUTHENTICATED
    case 429:
      return 8;  // RESOURCE_EXHAUSTED
    case 503:
      return 14;  // UNAVAILABLE
    default:
      return 7;  // PERMISSION_DENIED
  }
}

struct HeaderOptions {
  ProtoWriter *writer;
  uint32_t field;
};

// Framing of one HeaderValueOption beside name and value.
constexpr size_t kHeaderFraming = 16;

// HeaderValueOption{header{key, value}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}: an upstream's field of that name
// gives way to ours. The default, APPEND_IF_EXISTS_OR_ADD, would join the two.
void write_header_option(void *context, rl_view name, rl_view value) {
  auto [writer, field] = *static_cast<HeaderOptions *>(context);
  char *option = writer->begin<2>(field);
  char *header = writer->begin<2>(1);
  writer->bytes(1, name);
  writer->byte(tag_of(2, kBytes));
  writer->varint(value.size);
  writer->at = copy_utf8(writer->at, value);
  writer->end<2>(header);
  writer->number(3, 2);
  writer->end<2>(option);
}

void write_headers(ProtoWriter *writer, uint32_t field, const rl_verdict &verdict) {
  HeaderOptions options{writer, field};
  client_headers(verdict, write_header_option, &options);
}

void write_denied(ProtoWriter *writer, const rl_verdict &verdict) {
  char *denied = writer->begin<3>(2);
  char *status = writer->begin<2>(1);
  writer->number(1, denial_status(verdict));
  writer->end<2>(status);
  write_headers(writer, 2, verdict);
  char *body = writer->begin<3>(3);
  writer->at = write_denial_body(verdict, writer->at);
  writer->end<3>(body);
  writer->end<3>(denied);
}

void write_ok(ProtoWriter *writer, const rl_verdict &verdict) {
  char *ok = writer->begin<2>(3);
  write_headers(writer, 6, verdict);
  writer->end<2>(ok);
}

// google.protobuf.Value kinds.
enum ValueKind : uint32_t { kNumberValue = 2, kStringValue = 3, kBoolValue = 4, kListValue = 6 };

// google.protobuf.Struct is map<string, Value>: each field an entry{key, Value{kind}}.
constexpr size_t kFieldFraming = 16;

template <typename Write>
void write_field(ProtoWriter *writer, std::string_view name, Write write) {
  char *entry = writer->begin<3>(1);
  writer->bytes(1, view_of(name));
  char *value = writer->begin<3>(2);
  write();
  writer->end<3>(value);
  writer->end<3>(entry);
}

void write_string_field(ProtoWriter *writer, std::string_view name, rl_view value) {
  if (value.size == 0) return;
  write_field(writer, name, [&] { writer->text(kStringValue, value); });
}

void write_score(ProtoWriter *writer, double score) {
  write_field(writer, "score", [&] {
    writer->byte(tag_of(kNumberValue, kFixed64));
    std::memcpy(writer->at, &score, 8);
    writer->at += 8;
  });
}

void write_rules(ProtoWriter *writer, const rl_verdict &verdict) {
  write_field(writer, "rules", [&] {
    char *list = writer->begin<3>(kListValue);
    for (uint32_t i = 0; i < verdict.match_count; i++) {
      char *value = writer->begin<2>(1);
      writer->text(kStringValue, verdict.matches[i].id);
      writer->end<2>(value);
    }
    writer->end<3>(list);
  });
}

// For Envoy's access log and the filters behind: what does not apply is left out.
void write_metadata(ProtoWriter *writer, const rl_verdict &verdict) {
  char *metadata = writer->begin<3>(4);
  bool denied = verdict.decision == RL_DENY;
  write_string_field(writer, "domain", verdict.domain);
  write_string_field(writer, "decision", view_of(denied ? "deny" : "allow"));
  write_string_field(writer, "reason", view_of(reason_name(verdict.reason)));
  if (const rl_limit_state *told = told_state(verdict)) write_string_field(writer, "limit", told->name);
  write_string_field(writer, "list", verdict.list);
  write_string_field(writer, "penalty", verdict.penalty);
  if (verdict.match_count) write_rules(writer, verdict);
  if (verdict.score) write_score(writer, verdict.score);
  if (denied && verdict.reference) {
    char hex[16];
    write_hex(hex, verdict.reference);
    write_string_field(writer, "reference", {hex, 16});
  }
  if (verdict.shadow_denied) write_field(writer, "shadow_denied", [&] { writer->number(kBoolValue, 1); });
  writer->end<3>(metadata);
}

size_t metadata_room(const rl_verdict &verdict) {
  size_t room = 10 * (kFieldFraming + 32);
  room += std::min(verdict.domain.size, kMaxText) + std::min(verdict.list.size, kMaxText) +
          std::min(verdict.penalty.size, kMaxText);
  if (const rl_limit_state *told = told_state(verdict)) room += std::min(told->name.size, kMaxText);
  for (uint32_t i = 0; i < verdict.match_count; i++) room += std::min(verdict.matches[i].id.size, kMaxText) + 8;
  return room;
}

}  // namespace

void encode_envoy_check(const rl_verdict &verdict, bool metadata, Buffer *out) {
  bool denied = verdict.decision == RL_DENY;
  size_t room = 32 + client_headers_room(verdict, kHeaderFraming);
  if (denied) room += denial_body_room(verdict);
  if (metadata) room += metadata_room(verdict);
  char *to = out->reserve(room);
  if (!to) return;
  ProtoWriter writer{to};
  writer.byte(tag_of(1, kBytes));
  if (denied) {
    writer.byte(2);
    writer.number(1, rpc_code(denial_status(verdict)));
    write_denied(&writer, verdict);
  } else {
    writer.byte(0);  // status{}: its code is 0, and it must be there
    write_ok(&writer, verdict);
  }
  if (metadata) write_metadata(&writer, verdict);
  out->commit(static_cast<size_t>(writer.at - to));
}

}  // namespace rl
