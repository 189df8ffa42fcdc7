// What an error tells programs, beside the text for people: google.rpc.Status, as grpc-status-details-bin carries it.
// Source: googleapis google/rpc/status.proto and error_details.proto; gRPC's PROTOCOL-HTTP2.md for the base64.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"
#include "wire/grpc.h"

namespace rl {

struct Details {
  rl_view violation{};    // google.rpc.BadRequest: what is wrong; "FIELD: what" names the field. Empty: none
  int32_t retry_ms = -1;  // google.rpc.RetryInfo: when to come back, 0 for at once. -1: none
  bool empty() const { return violation.size == 0 && retry_ms < 0; }
};

// Room for encode_details(), whatever the texts are: each is cut to kMaxText.
inline constexpr size_t kMaxDetails = 3072;
// Writes the status in base64 without padding; returns its size. The message is what grpc-message says.
size_t encode_details(Status status, rl_view message, const Details &details, char *to);

}  // namespace rl
