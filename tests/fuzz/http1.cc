// One connection whose peer sends what it likes, in reads of any size, to a door that looks at all it is given.
#include "wire/session.h"

#include "fuzz.h"
#include "wire/forward_auth.h"
#include "wire/text.h"

using fuzz::Block;

namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr uint32_t kMaxMessage = 512, kMaxHead = 1024;

struct Doors {
  uint64_t calls = 0;
  uint64_t seen = 0;
  rl::RequestArena arena;
};

void see(Doors *doors, rl_view view) {
  for (uint32_t i = 0; i < view.size; ++i) doors->seen += static_cast<uint8_t>(view.data[i]);
}

bool has_line_end(rl_view view) {
  return view.size && (std::memchr(view.data, '\r', view.size) || std::memchr(view.data, '\n', view.size) ||
                       std::memchr(view.data, 0, view.size));
}

void on_call(void *self, const rl::HttpCall &call, rl::HttpAnswer *answer) {
  auto *doors = static_cast<Doors *>(self);
  ++doors->calls;
  MUST(call.method.size > 0 && call.method.size <= 32 && call.target.size > 0 && call.target.data[0] == '/');
  MUST(call.field_count <= RL_MAX_HEADERS && call.body.size <= kMaxMessage);
  for (rl_view view : {call.method, call.target, call.authority, call.body}) see(doors, view);
  MUST(!has_line_end(call.method) && !has_line_end(call.target) && !has_line_end(call.authority));
  uint32_t lengths = 0, codings = 0;
  for (uint32_t i = 0; i < call.field_count; ++i) {
    const auto &[name, value] = call.fields[i];
    MUST(name.size > 0 && !has_line_end(name) && !has_line_end(value));
    for (uint32_t at = 0; at < name.size; ++at) MUST(name.data[at] < 'A' || name.data[at] > 'Z');
    see(doors, value);
    lengths += rl::equals(name, "content-length");
    codings += rl::equals(name, "transfer-encoding");
  }
  MUST(lengths + codings <= 1 && (lengths + codings == 1 || call.body.size == 0));
  rl::AuthDoor door;
  bool found;
  rl_request request;
  if (!rl::read_auth_target(call.target, &found, &door) && found &&
      !rl::decode_forward_auth(call, door, &doors->arena, &request)) {
    MUST(request.method.size > 0 && request.path.size > 0 && request.source_address.size > 0);
  }
  answer->add("x-seen", call.method);
  answer->body->append("seen", 4);
}

rl_view date(void *) { return {"Thu, 01 Jan 1970 00:00:00 GMT", 29}; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static Doors *doors = new Doors;
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  const size_t step = 1 + 4 * size_t{input.byte()};
  const Block bytes = input.rest();
  rl::WireCounters counters;
  const rl::HttpHandler handler{doors, on_call, date};
  rl::Http1Context context({kMaxMessage, kMaxHead}, handler, &counters);
  rl::Http2Context http2({8, kMaxMessage, kMaxHead}, {}, &counters);
  rl::Buffer out;
  {
    rl::Session session(&context, &http2, 1);
    session.choose(rl::Protocol::kHttp1);
    int64_t now = 1;
    for (size_t at = 0; at < bytes.size && !session.finished(); at += step) {
      now += how * kMillisecond;
      Block read(bytes.data.get() + at, std::min(step, bytes.size - at));
      session.recv(read.data.get(), read.size, now);
      for (int i = 0; i < 10'000 && session.send(&out, 1 + out.size(), now); ++i) {
      }
      MUST(context.answers.empty() && context.buffered <= kMaxMessage + kMaxHead + 1);
      if (session.expire(now, 1000 * kMillisecond)) session.abort(RL_ABUSE_STALLED);
    }
    session.begin_shutdown();
    session.send(&out, 1 << 20, now);
    session.finish_shutdown();
  }
  MUST(context.buffered == 0);
  return 0;
}
