#include "wire/http1_chunks.h"

#include <algorithm>
#include <cstring>

namespace rl {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_token(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (c >= '0' && c <= '9') || (c != 0 && std::strchr("!#$%&'*+-.^_`|~", c));
}

bool is_text(char c) { return (static_cast<uint8_t>(c) >= 0x20 && c != 0x7f) || c == '\t'; }

}  // namespace

ChunkReader::State ChunkReader::after_size(char c) { return digits_ == 0 ? State::kBroken : after_extension(c); }

ChunkReader::State ChunkReader::after_extension(char c) {
  if (c == '\r') return State::kSizeLf;
  return c == ';' ? extend(State::kExtension) : State::kBroken;
}

// One more byte of what is dropped.
ChunkReader::State ChunkReader::extend(State state) { return ++noise_ <= kMaxNoise ? state : State::kBroken; }

// One byte of framing.
ChunkReader::State ChunkReader::step(char c) {
  switch (state_) {
    case State::kSize: {
      const int digit = hex_digit(c);
      if (digit < 0) return after_size(c);
      if (digits_++ == kMaxDigits) return State::kBroken;
      left_ = left_ << 4 | static_cast<uint32_t>(digit);
      return State::kSize;
    }
    case State::kExtension:
      return is_token(c) ? extend(State::kExtensionName) : State::kBroken;
    case State::kExtensionName:
      if (c == '=') return extend(State::kExtensionEquals);
      return is_token(c) ? extend(state_) : after_extension(c);
    case State::kExtensionEquals:
      return is_token(c) ? extend(State::kExtensionValue) : State::kBroken;
    case State::kExtensionValue:
      return is_token(c) ? extend(state_) : after_extension(c);
    case State::kSizeLf:
      digits_ = 0;
      if (c != '\n') return State::kBroken;
      return left_ > 0 ? State::kData : State::kTrailer;
    case State::kDataCr:
      return c == '\r' ? State::kDataLf : State::kBroken;
    case State::kDataLf:
      return c == '\n' ? State::kSize : State::kBroken;
    case State::kTrailer:
      if (c == '\r') return State::kEndLf;
      return is_token(c) ? extend(State::kTrailerName) : State::kBroken;
    case State::kTrailerName:
      if (c == ':') return extend(State::kTrailerLine);
      return is_token(c) ? extend(State::kTrailerName) : State::kBroken;
    case State::kTrailerLine:
      if (c == '\r') return State::kTrailerLf;
      return is_text(c) ? extend(State::kTrailerLine) : State::kBroken;
    case State::kTrailerLf:
      return c == '\n' ? State::kTrailer : State::kBroken;
    case State::kEndLf:
      return c == '\n' ? State::kDone : State::kBroken;
    default:
      return State::kBroken;
  }
}

size_t ChunkReader::take(rl_view bytes, rl_view *data) {
  *data = {};
  size_t at = 0;
  while (at < bytes.size && state_ != State::kDone && state_ != State::kBroken) {
    if (state_ != State::kData) {
      state_ = step(bytes.data[at++]);
      continue;
    }
    const uint32_t n = std::min(left_, bytes.size - static_cast<uint32_t>(at));
    *data = {bytes.data + at, n};
    left_ -= n;
    if (left_ == 0) state_ = State::kDataCr;
    return at + n;
  }
  return at;
}

}  // namespace rl
