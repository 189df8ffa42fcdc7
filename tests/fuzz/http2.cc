// One HTTP/2 connection whose peer sends what it likes, in reads of any size.
#include "fuzz.h"
#include "wire/http2_probe.h"

using fuzz::Block;

namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
constexpr int64_t kMillisecond = 1'000'000;

void flush(rl::EchoSession *session, int64_t now) {
  session->out.clear();
  for (int i = 0; i < 64 && session->connection->send(&session->out, 1 << 16, now); ++i) session->out.clear();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  const size_t step = 1 + 8 * size_t{input.byte()};
  const Block bytes = input.rest();
  rl::EchoSession session({.max_streams = 8, .max_message = 1024, .max_header_list = 2048});
  int64_t now = kMillisecond;
  MUST(session.open(now));
  if (how & 1) session.recv(kPreface, sizeof kPreface - 1, now);
  for (size_t at = 0; at < bytes.size && !session.connection->finished(); at += step) {
    now += (how >> 1) * kMillisecond;
    session.recv(bytes.data.get() + at, std::min(step, bytes.size - at), now);
    flush(&session, now);
    MUST(session.connection->stream_count() <= 8 + 1);
    MUST(session.context.buffered <= session.context.max_buffered_in_all() + 2 * 1024);
    if (session.connection->expire(now, 1000 * kMillisecond)) session.connection->abort(RL_ABUSE_STALLED);
  }
  session.connection->begin_shutdown();
  flush(&session, now);
  session.connection->finish_shutdown();
  flush(&session, now);
  return 0;
}
