// grpc.reflection.v1 and v1alpha (the same messages): answers one request from a FileDescriptorSet.
#pragma once
#include <memory>

#include "wire/messages.h"

namespace rl {

class Reflection {
 public:
  virtual ~Reflection() = default;
  // One ServerReflectionRequest in, one ServerReflectionResponse out. Unknown names become an error_response
  // (NOT_FOUND), as the protocol has it.
  virtual DecodeError answer(rl_view request, Buffer *out) const = 0;
};

// Indexes files, symbols and extensions of a serialized FileDescriptorSet. NULL when it does not parse.
std::unique_ptr<Reflection> reflection_new(rl_view descriptor_set);

}  // namespace rl
