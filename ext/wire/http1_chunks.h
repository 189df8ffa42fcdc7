// The chunked transfer coding (RFC 9112 7.1), taken apart byte by byte as it arrives. Strict about line ends; chunk
// extensions (tokens: nobody sends quoted ones) and trailers are dropped, and bounded together.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rl {

class ChunkReader {
 public:
  enum class State : uint8_t {
    kSize,
    kExtension,
    kExtensionName,
    kExtensionEquals,
    kExtensionValue,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,
    kTrailerName,
    kTrailerLine,
    kTrailerLf,
    kEndLf,
    kDone,
    kBroken
  };

  // Takes bytes until a piece of data has come, the body has ended or all are taken. Returns how many were; *data is
  // the piece, empty when there is none.
  size_t take(rl_view bytes, rl_view *data);
  bool done() const { return state_ == State::kDone; }
  bool broken() const { return state_ == State::kBroken; }

 private:
  enum : uint32_t { kMaxDigits = 8, kMaxNoise = 4096 };

  State after_size(char c);
  State after_extension(char c);
  State extend(State state);
  State step(char c);

  State state_ = State::kSize;
  uint32_t digits_ = 0;
  uint32_t left_ = 0;   // bytes of data in this chunk
  uint32_t noise_ = 0;  // bytes of extensions and trailers
};

}  // namespace rl
