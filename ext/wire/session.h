// What a connection speaks: HTTP/2 when its first bytes are the start of HTTP/2's preface (RFC 9113 3.4), else
// HTTP/1.1; or what a handshake below it has agreed on. Until it is known nothing is sent.
#pragma once
#include <cstddef>
#include <cstdint>
#include <variant>

#include "wire/http1.h"
#include "wire/http2.h"

namespace rl {

enum class Protocol : uint8_t { kHttp1, kHttp2 };

class Session {
 public:
  Session(Http1Context *http1, Http2Context *http2, int64_t now_ns)
      : http1_(http1), http2_(http2), opened_ns_(now_ns) {}

  // Does not wait for the first bytes. Call before recv().
  void choose(Protocol protocol);
  // The rest is as in Http1Connection and Http2Connection.
  void recv(char *bytes, size_t size, int64_t now_ns);
  bool send(Buffer *out, size_t limit, int64_t now_ns);
  bool finished() const;
  void begin_shutdown();
  void finish_shutdown();
  void abort(int abuse);
  bool expire(int64_t now_ns, int64_t stall_ns);
  bool owes() const;
  uint32_t stream_count() const;
  size_t held() const;
  // NULL: it speaks something else.
  Http2Connection *http2() { return std::get_if<Http2Connection>(&speaker_); }

 private:
  // No method of HTTP/1.1 begins like this.
  static constexpr char kStart[] = {'P', 'R', 'I', ' '};

  Http1Connection *http1() { return std::get_if<Http1Connection>(&speaker_); }
  const Http1Connection *http1() const { return std::get_if<Http1Connection>(&speaker_); }
  const Http2Connection *http2() const { return std::get_if<Http2Connection>(&speaker_); }
  bool detect(const char *bytes, size_t size);

  Http1Context *http1_;
  Http2Context *http2_;
  int64_t opened_ns_;
  uint8_t seen_ = 0;   // bytes of kStart
  bool over_ = false;  // nobody speaks, and nobody will
  std::variant<std::monostate, Http1Connection, Http2Connection> speaker_;
};

}  // namespace rl
