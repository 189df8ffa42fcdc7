#include "wire/protobuf.h"

namespace rl {

namespace {
// As deep as the official parsers follow groups (messages of ours nest less than ten deep).
constexpr int kMaxDepth = 100;
}  // namespace

ProtoReader::Step ProtoReader::long_varint(const char *at, const char *end, int max_bytes) {
  uint64_t value = 0;
  for (int i = 0; i < max_bytes && at != end; i++) {
    uint8_t byte = static_cast<uint8_t>(*at++);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) return {at, value};
  }
  return {nullptr, 0};
}

const char *ProtoReader::skip_other(const char *at, const char *end, uint32_t tag) {
  switch (tag & 7) {
    case kVarint:
      return long_varint(at, end, 10).at;
    case kFixed64:
      return end - at < 8 ? nullptr : at + 8;
    case kFixed32:
      return end - at < 4 ? nullptr : at + 4;
    case kGroup:
      return skip_group(at, end, tag);
    default:
      return nullptr;
  }
}

const char *ProtoReader::skip_group(const char *at, const char *end, uint32_t tag) {
  uint32_t open[kMaxDepth] = {tag >> 3};
  int depth = 0;
  ProtoReader reader({at, static_cast<uint32_t>(end - at)});
  while (reader.next()) {
    uint32_t type = reader.tag_ & 7, field = reader.tag_ >> 3;
    if (type == kGroup) {
      if (++depth == kMaxDepth) return nullptr;
      open[depth] = field;
    } else if (type == kEndGroup) {
      if (field != open[depth]) return nullptr;
      if (depth-- == 0) return reader.at_;
    } else {
      reader.skip();
    }
  }
  return nullptr;
}

}  // namespace rl
