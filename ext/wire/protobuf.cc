#include "wire/protobuf.h"

namespace rl {

namespace {
// As deep as the official parsers follow groups (messages of ours nest less than ten deep).
constexpr int kMaxDepth = 100;
}  // namespace

uint64_t ProtoReader::long_varint(int max_bytes) {
  uint64_t value = 0;
  for (int i = 0; i < max_bytes; i++) {
    if (at_ == end_) break;
    uint8_t byte = static_cast<uint8_t>(*at_++);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) return value;
  }
  fail();
  return 0;
}

uint32_t ProtoReader::long_tag() {
  uint64_t tag = long_varint(5);
  return tag > UINT32_MAX ? 0 : static_cast<uint32_t>(tag);
}

void ProtoReader::skip_fixed(size_t size) {
  if (static_cast<size_t>(end_ - at_) < size) {
    fail();
  } else {
    at_ += size;
  }
}

void ProtoReader::skip_other() {
  switch (tag_ & 7) {
    case kVarint:
      varint();
      break;
    case kFixed64:
      skip_fixed(8);
      break;
    case kFixed32:
      skip_fixed(4);
      break;
    case kGroup:
      skip_group();
      break;
    default:
      fail();
  }
}

void ProtoReader::skip_group() {
  uint32_t open[kMaxDepth] = {tag_ >> 3};
  int depth = 0;
  while (next()) {
    uint32_t type = tag_ & 7, field = tag_ >> 3;
    if (type == kGroup) {
      if (++depth == kMaxDepth) break;
      open[depth] = field;
    } else if (type == kEndGroup) {
      if (field != open[depth]) break;
      if (depth-- == 0) return;
    } else {
      skip();
    }
  }
  fail();
}

}  // namespace rl
