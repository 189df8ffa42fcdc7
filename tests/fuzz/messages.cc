// The protobuf messages that callers send: read or refused, their views in the message or the arena.
#include "wire/messages.h"

#include "fuzz.h"
#include "wire/health.h"
#include "wire/metadata.h"
#include "wire/rls_messages.h"

using fuzz::Block;

namespace {

// Touches every byte that a request's views name.
uint64_t sum(rl_view view) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < view.size; ++i) total += static_cast<uint8_t>(view.data[i]);
  return total;
}

uint64_t sum(const rl_pair *pairs, uint32_t count) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < count; ++i) total += sum(pairs[i].name) + sum(pairs[i].value);
  return total;
}

void see(const rl_request &request) {
  static volatile uint64_t sink;
  MUST(request.header_count <= RL_MAX_HEADERS && request.attribute_count <= RL_MAX_ATTRIBUTES);
  sink = sum(request.headers, request.header_count) + sum(request.attributes, request.attribute_count);
  for (rl_view view : {request.domain, request.source_address, request.method, request.path, request.host,
                       request.scheme, request.protocol, request.request_id, request.body}) {
    sink = sink + sum(view);
  }
  for (uint32_t i = 0; i < request.header_count; ++i) {
    const rl_view name = request.headers[i].name;
    MUST(name.size > 0 && name.data[0] != ':');
    for (uint32_t at = 0; at < name.size; ++at) MUST(name.data[at] < 'A' || name.data[at] > 'Z');
  }
}

void see_metadata(rl_view metadata) {
  uint32_t steps = 1000;
  rl_view value, text;
  if (!rl::is_metadata(metadata) || !rl::find_metadata(metadata, {"a.b.c", 5}, &steps, &value)) return;
  Block room(rl::metadata_room(value));
  if (rl::metadata_text(value, room.data.get(), &text)) MUST(room.holds(text) || text.size <= value.size);
}

void see(const rl_descriptor_call &call) {
  static volatile uint64_t sink;
  MUST(call.count >= 1 && call.count <= RL_MAX_DESCRIPTORS && call.domain.size > 0);
  for (uint32_t i = 0; i < call.count; ++i) {
    const rl_descriptor &descriptor = call.descriptors[i];
    MUST(descriptor.attribute_count >= 1 && descriptor.attribute_count <= RL_MAX_ENTRIES + 1);
    sink = sum(descriptor.attributes, descriptor.attribute_count) + sum(descriptor.address);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rl::RequestArena *arena = new rl::RequestArena;
  static rl::DescriptorArena *descriptors = new rl::DescriptorArena;
  const Block message(data, size);
  const rl_view bytes = message.view();
  rl_request request;
  rl_response response;
  bool of_request = false;
  if (!rl::decode_check(bytes, arena, &request)) see(request);
  if (!rl::decode_envoy_check(bytes, arena, &request)) {
    see(request);
    see_metadata(request.metadata);
  }
  if (!rl::decode_inspect_response(bytes, arena, &request, &response, &of_request)) {
    see(request);
    MUST(response.status >= 100 && response.status <= 599 && response.header_count <= RL_MAX_HEADERS);
    MUST(message.holds(response.body));
    sum(response.headers, response.header_count);
  }
  rl_descriptor_call call;
  if (!rl::decode_rate_limit(bytes, descriptors, &call)) see(call);
  see_metadata(bytes);
  size_t cursor = 0;
  rl_view part;
  rl::DecodeError error = nullptr;
  while (rl::next_batch_request(bytes, &cursor, &part, &error) == 1) MUST(message.holds(part) && cursor <= size);
  if (!rl::decode_health_request(bytes, &part)) MUST(message.holds(part));
  return 0;
}
