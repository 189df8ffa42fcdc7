// The protobuf wire format: a bounds-checked reader and a writer. https://protobuf.dev/programming-guides/encoding/
//
// Ours rather than protozero's because hostile input is the normal case: protozero throws on a malformed message, which
// takes a microsecond (most of the time of a whole check) and makes every worker meet in the unwinder. Here an error is
// a flag, and a malformed message costs less than a good one.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/view.h"
#include "wire/text.h"

namespace rl {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kGroup = 3, kEndGroup = 4, kFixed32 = 5 };

// A field number and its wire type as they stand on the wire: a switch over tags takes a known field of a foreign type
// for unknown, as protobuf has it.
constexpr uint32_t tag_of(uint32_t field, WireType type) { return field << 3 | type; }

// Walks the fields of one message:
//
//     ProtoReader reader(bytes);
//     while (reader.next()) switch (reader.tag()) {
//       case tag_of(1, kBytes): name = reader.bytes(); break;
//       default: reader.skip();
//     }
//     if (reader.failed()) ...
//
// Every field must be taken by the call that fits its type, or skipped. After an error the reader is at its end and
// what it returns is empty. Nothing is allocated; embedded messages are views, their depth is the caller's. Strings are
// not checked for UTF-8: to us they are bytes that a client sent.
class ProtoReader {
 public:
  explicit ProtoReader(rl_view bytes) : at_(bytes.data), end_(bytes.data + bytes.size) {}

  bool next() {
    if (at_ == end_) return false;
    uint64_t tag = scalar(5);
    tag_ = static_cast<uint32_t>(tag);
    if (tag_ >> 3 == 0 || tag > UINT32_MAX) fail();
    return !failed_;
  }
  uint32_t tag() const { return tag_; }
  bool failed() const { return failed_; }

  uint64_t varint() { return scalar(10); }
  uint64_t fixed64() {
    uint64_t value = 0;  // little-endian, as we are
    if (end_ - at_ < 8) {
      fail();
    } else {
      std::memcpy(&value, at_, 8);
      at_ += 8;
    }
    return value;
  }
  rl_view bytes() {
    uint64_t size = scalar(5);
    if (size > static_cast<size_t>(end_ - at_)) [[unlikely]] {
      fail();
      return {};
    }
    rl_view view{at_, static_cast<uint32_t>(size)};
    at_ += size;
    return view;
  }
  // Passes over a field that nobody wants, groups and all.
  void skip() {
    if ((tag_ & 7) == kBytes) {
      bytes();
    } else {
      go_to(skip_other(at_, end_, tag_));
    }
  }
  // Where the reader stands, to go on later.
  const char *position() const { return at_; }

 private:
  // The slow ways are static and pass everything by value, so that a compiler keeps the reader itself in registers.
  struct Step {
    const char *at;  // NULL: malformed
    uint64_t value;
  };
  static Step long_varint(const char *at, const char *end, int max_bytes);
  static const char *skip_other(const char *at, const char *end, uint32_t tag);
  static const char *skip_group(const char *at, const char *end, uint32_t tag);

  void fail() {
    failed_ = true;
    at_ = end_;
  }
  void go_to(const char *at) {
    if (at) {
      at_ = at;
    } else {
      fail();
    }
  }
  uint64_t scalar(int max_bytes) {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) [[likely]]
      return static_cast<uint8_t>(*at_++);
    Step step = long_varint(at_, end_, max_bytes);
    go_to(step.at);
    return step.value;
  }

  const char *at_, *end_;
  uint32_t tag_ = 0;
  bool failed_ = false;
};

// A message of two texts as every writer lays it out: field 1, then the value's field, each shorter than 128 bytes.
// False when it is not like that, which says nothing about whether it is well-formed. Headers come this way: it is a
// third of the work of reading fields.
inline bool read_plain_pair(rl_view bytes, uint32_t value_field, rl_view *key, rl_view *value) {
  auto at = [&](uint32_t i) { return static_cast<uint8_t>(bytes.data[i]); };
  if (bytes.size < 4 || at(0) != tag_of(1, kBytes)) return false;
  uint32_t key_size = at(1);
  if (key_size >= 0x80 || key_size + 4 > bytes.size || at(key_size + 2) != tag_of(value_field, kBytes)) return false;
  uint32_t value_size = at(key_size + 3);
  if (value_size >= 0x80 || key_size + 4 + value_size != bytes.size) return false;
  *key = {bytes.data + 2, key_size};
  *value = {bytes.data + key_size + 4, value_size};
  return true;
}

// A map<string, string> entry, or any message of that shape: fields 1 and 2. False when malformed.
inline bool read_entry(rl_view bytes, rl_view *key, rl_view *value) {
  if (read_plain_pair(bytes, 2, key, value)) return true;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.tag()) {
      case tag_of(1, kBytes):
        *key = reader.bytes();
        break;
      case tag_of(2, kBytes):
        *value = reader.bytes();
        break;
      default:
        reader.skip();
    }
  }
  return !reader.failed();
}

// The most bytes of any one text that we write: names come from policies and clients, and an answer stays small
// whatever they are.
inline constexpr uint32_t kMaxText = 512;

// Writes fields at a place that has room for all of them: the caller reserves the worst case. Field numbers are
// below 16. Embedded messages get a length of fixed width, filled in when they end: padded varints are as good as short
// ones to a parser.
struct ProtoWriter {
  char *at;

  void byte(uint32_t value) { *at++ = static_cast<char>(value); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<uint8_t>(value) | 0x80u);
    byte(static_cast<uint32_t>(value));
  }
  // Numbers, enums and flags; 0 is left out, as proto3 does.
  void number(uint32_t field, uint64_t value) {
    if (value == 0) return;
    byte(tag_of(field, kVarint));
    varint(value);
  }
  // Text of ours or of a client: cut to kMaxText and made valid UTF-8, without which a parser refuses the whole answer.
  // Empty is written too.
  void text(uint32_t field, rl_view value) {
    byte(tag_of(field, kBytes));
    char *length = at;
    at += 2;
    at = copy_utf8(at, clip_utf8(value, kMaxText));
    patch<2>(length);
  }
  void optional_text(uint32_t field, rl_view value) {
    if (value.size) text(field, value);
  }
  // Bytes of any content and length.
  void bytes(uint32_t field, rl_view value) {
    byte(tag_of(field, kBytes));
    varint(value.size);
    raw(value);
  }
  void raw(rl_view value) { at = copy(at, value); }

  // begin() starts an embedded message, end() closes it. A width of 2 holds 16 KiB, 3 holds 2 MiB.
  template <int width>
  char *begin(uint32_t field) {
    byte(tag_of(field, kBytes));
    at += width;
    return at - width;
  }
  template <int width>
  void end(char *mark) {
    patch<width>(mark);
  }

 private:
  template <int width>
  void patch(char *length) {
    size_t size = static_cast<size_t>(at - length) - width;
    for (int i = 0; i < width - 1; i++, size >>= 7) length[i] = static_cast<char>(size | 0x80);
    length[width - 1] = static_cast<char>(size);
  }
};

}  // namespace rl
