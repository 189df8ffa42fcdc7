// envoy.service.ratelimit.v3.RateLimitResponse.
#include <algorithm>

#include "wire/answer.h"
#include "wire/rls_messages.h"

namespace rl {

namespace {

enum : uint32_t { kOk = 1, kOverLimit = 2 };  // RateLimitResponse.Code

// Framing and numbers of a status beside its name, of a header beside its texts, of metadata beside its bytes.
constexpr size_t kStatusRoom = 64;
constexpr size_t kHeaderFraming = 12;
constexpr size_t kMetadataFraming = 40;

void write_status(ProtoWriter *writer, const rl_descriptor_status &status) {
  char *mark = writer->begin<2>(2);
  writer->number(1, status.over ? kOverLimit : kOk);
  if (status.applies == RL_APPLIES_UNLIMITED) writer->number(3, UINT32_MAX);
  if (status.applies == RL_APPLIES_LIMIT) {
    char *limit = writer->begin<2>(2);
    writer->number(1, status.limit);
    writer->number(2, unit_of_window(status.window_ms));
    writer->optional_text(3, status.name);
    writer->end<2>(limit);
    writer->number(3, std::min<uint64_t>(status.remaining, UINT32_MAX));
    char *duration = writer->begin<2>(4);
    writer->number(1, status.reset_s);
    writer->end<2>(duration);
  }
  writer->end<2>(mark);
}

// HeaderValue{key, value}. What describes a body has no place here: there is none.
void write_header(void *context, rl_view name, rl_view value) {
  if (equals(name, "content-type")) return;
  auto writer = static_cast<ProtoWriter *>(context);
  char *mark = writer->begin<2>(3);
  writer->bytes(1, name);
  writer->byte(tag_of(2, kBytes));
  writer->varint(value.size);
  writer->at = copy_utf8(writer->at, value);
  writer->end<2>(mark);
}

// Struct{"metadata": Struct}: messages of one type that stand one behind the other are one merged message.
void write_metadata(ProtoWriter *writer, const rl_descriptor_answer &answer) {
  char *metadata = writer->begin<3>(6);
  char *entry = writer->begin<3>(1);
  writer->bytes(1, view_of("metadata"));
  char *value = writer->begin<3>(2);
  char *fields = writer->begin<3>(5);
  for (uint32_t i = 0; i < answer.metadata_count; i++) writer->raw(answer.metadata[i]);
  writer->end<3>(fields);
  writer->end<3>(value);
  writer->end<3>(entry);
  writer->end<3>(metadata);
}

}  // namespace

uint32_t unit_of_window(uint64_t window_ms) {
  constexpr uint64_t kDay = 86'400'000;
  switch (window_ms) {
    case 1000:
      return 1;
    case 60'000:
      return 2;
    case 3'600'000:
      return 3;
    case kDay:
      return 4;
    case 30 * kDay:
      return 5;
    case 365 * kDay:
      return 6;
    case 7 * kDay:
      return 7;
    default:
      return 0;
  }
}

void encode_rate_limit(const rl_descriptor_answer &answer, const rl_verdict &verdict, Buffer *out) {
  size_t room = 16 + kMetadataFraming;
  for (uint32_t i = 0; i < answer.count; i++) room += kStatusRoom + std::min(answer.statuses[i].name.size, kMaxText);
  for (uint32_t i = 0; i < answer.metadata_count; i++) room += answer.metadata[i].size;
  if (verdict.header_families) room += client_headers_room(verdict, kHeaderFraming);
  char *to = out->reserve(room);
  if (!to) return;
  ProtoWriter writer{to};
  writer.number(1, answer.over ? kOverLimit : kOk);
  for (uint32_t i = 0; i < answer.count; i++) write_status(&writer, answer.statuses[i]);
  if (verdict.header_families) client_headers(verdict, write_header, &writer);
  if (answer.metadata_count) write_metadata(&writer, answer);
  out->commit(static_cast<size_t>(writer.at - to));
}

}  // namespace rl
