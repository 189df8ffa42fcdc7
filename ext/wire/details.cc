#include "wire/details.h"

#include <algorithm>

#include "wire/protobuf.h"

namespace rl {

namespace {

constexpr std::string_view kBadRequest = "type.googleapis.com/google.rpc.BadRequest";
constexpr std::string_view kRetryInfo = "type.googleapis.com/google.rpc.RetryInfo";
// Four texts, two type names, and what frames them.
constexpr size_t kMaxStatus = 4 * size_t{kMaxText} + kBadRequest.size() + kRetryInfo.size() + 96;
static_assert((kMaxStatus + 2) / 3 * 4 <= kMaxDetails);

// google.protobuf.Any: the name of a message's type, then (by `value`) the message.
template <typename Value>
void write_any(ProtoWriter *writer, std::string_view type, Value value) {
  char *any = writer->begin<2>(3);
  writer->bytes(1, view_of(type));
  char *message = writer->begin<2>(2);
  value();
  writer->end<2>(message);
  writer->end<2>(any);
}

void write_bad_request(ProtoWriter *writer, rl_view violation) {
  const std::string_view text = to_string_view(violation);
  const size_t colon = text.find(": ");
  char *mark = writer->begin<2>(1);
  if (colon != std::string_view::npos) writer->text(1, view_of(text.substr(0, colon)));
  writer->text(2, colon == std::string_view::npos ? violation : view_of(text.substr(colon + 2)));
  writer->end<2>(mark);
}

void write_retry_info(ProtoWriter *writer, uint32_t ms) {
  char *duration = writer->begin<2>(1);
  writer->number(1, ms / 1000);
  writer->number(2, uint64_t{ms % 1000} * 1'000'000);
  writer->end<2>(duration);
}

size_t write_base64(const char *from, size_t size, char *to) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *const start = to;
  for (size_t i = 0; i < size; i += 3) {
    const size_t count = std::min<size_t>(size - i, 3);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < count ? static_cast<uint8_t>(from[i + j]) : 0u);
    for (size_t j = 0; j <= count; ++j) *to++ = kAlphabet[bits >> (18 - 6 * j) & 63];
  }
  return static_cast<size_t>(to - start);
}

}  // namespace

size_t encode_details(Status status, rl_view message, const Details &details, char *to) {
  char bytes[kMaxStatus];
  ProtoWriter writer{bytes};
  writer.number(1, static_cast<uint64_t>(status));
  writer.optional_text(2, message);
  if (details.violation.size) {
    write_any(&writer, kBadRequest, [&] { write_bad_request(&writer, details.violation); });
  }
  if (details.retry_ms >= 0) {
    write_any(&writer, kRetryInfo, [&] { write_retry_info(&writer, static_cast<uint32_t>(details.retry_ms)); });
  }
  return write_base64(bytes, static_cast<size_t>(writer.at - bytes), to);
}

}  // namespace rl
