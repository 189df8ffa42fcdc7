// The contract and the rate limit service as JSON: read or refused, their views in the message or the arena.
#include "fuzz.h"
#include "wire/json_messages.h"
#include "wire/rls_messages.h"

using fuzz::Block;

namespace {

uint64_t sum(rl_view view) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < view.size; ++i) total += static_cast<uint8_t>(view.data[i]);
  return total;
}

void see(const rl_request &request) {
  static volatile uint64_t sink;
  MUST(request.header_count <= RL_MAX_HEADERS && request.attribute_count <= RL_MAX_ATTRIBUTES);
  for (uint32_t i = 0; i < request.header_count; ++i) {
    const rl_view name = request.headers[i].name;
    MUST(name.size > 0 && name.data[0] != ':');
    for (uint32_t at = 0; at < name.size; ++at) MUST(name.data[at] < 'A' || name.data[at] > 'Z');
    sink = sink + sum(request.headers[i].value);
  }
  for (uint32_t i = 0; i < request.attribute_count; ++i) {
    sink = sink + sum(request.attributes[i].name) + sum(request.attributes[i].value);
  }
  for (rl_view view : {request.domain, request.source_address, request.method, request.path, request.host,
                       request.scheme, request.request_id, request.body}) {
    sink = sink + sum(view);
  }
}

void see(const rl_descriptor_call &call) {
  static volatile uint64_t sink;
  MUST(call.count >= 1 && call.count <= RL_MAX_DESCRIPTORS && call.domain.size > 0);
  for (uint32_t i = 0; i < call.count; ++i) {
    const rl_descriptor &descriptor = call.descriptors[i];
    MUST(descriptor.attribute_count >= 1 && descriptor.attribute_count <= RL_MAX_ENTRIES + 1);
    for (uint32_t at = 0; at < descriptor.attribute_count; ++at) {
      sink = sink + sum(descriptor.attributes[at].name) + sum(descriptor.attributes[at].value);
    }
    sink = sink + sum(descriptor.address);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rl::RequestArena *arena = new rl::RequestArena;
  const Block message(data, size);
  rl_request request;
  rl::DecodeError error = rl::decode_check_json(message.view(), arena, &request);
  if (!error) see(request);
  MUST(!error || std::strlen(error) < 300);
  rl::JsonBatch batch(message.view());
  int found, count = 0;
  while ((found = batch.next(arena, &request, &error)) == 1) {
    see(request);
    MUST(static_cast<size_t>(++count) <= size);
  }
  MUST(found == 0 || std::strlen(error) < 300);
  static rl::DescriptorArena *descriptors = new rl::DescriptorArena;
  rl_descriptor_call call;
  error = rl::decode_rate_limit_json(message.view(), descriptors, &call);
  if (!error) see(call);
  MUST(!error || std::strlen(error) < sizeof descriptors->error);
  return 0;
}
