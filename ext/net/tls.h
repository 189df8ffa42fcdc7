// TLS on one connection, on OpenSSL, between the socket and what is spoken over it. Sans-I/O: sealed bytes in and plain
// ones out by recv(), the reverse by seal(); the owner reads and writes.
#pragma once
#include <openssl/ssl.h>

#include <cstddef>
#include <memory>

#include "net/tls_identity.h"
#include "wire/budget.h"
#include "wire/buffer.h"
#include "wire/session.h"

namespace rl {

// Why a handshake came to nothing.
struct TlsFault {
  int reason = -1;                         // RL_TLS_*; -1: it did not
  char detail[96] = {};                    // OpenSSL's words
  char certificate[kMaxDescription] = {};  // of the peer, when it is to blame
};

class Tls {
 public:
  enum class State : uint8_t { kHandshake, kOpen, kClosed, kFailed };
  // Plain bytes are at most as many as the sealed ones and one record more.
  static constexpr size_t kRecord = 18 << 10;

  // NULL when out of memory.
  static std::unique_ptr<Tls> create(std::shared_ptr<const TlsIdentity> identity);
  Tls(const Tls &) = delete;
  Tls &operator=(const Tls &) = delete;
  ~Tls() { SSL_free(ssl_); }

  // Takes all of the sealed bytes. Plain ones go to `plain`, which has room for `size` and kRecord more; what the peer
  // is to get (handshakes, alerts) is appended to *out.
  State recv(const char *bytes, size_t size, char *plain, size_t *plain_size, Buffer *out, int64_t now_ns);
  // Appends the bytes, sealed, to *out. False: broken.
  bool seal(const char *bytes, size_t size, Buffer *out);
  // Tells the peer that nothing follows; once, and only when it is open.
  void close(Buffer *out);

  State state() const { return state_; }
  // Did it fail for messages beside the data, such as new keys, that cost us work and the peer nothing?
  bool is_flooded() const { return is_flooded_; }
  bool has_heard() const { return first_ >= 0; }
  // Has the peer been sent our certificate? Who leaves then may not like it.
  bool has_shown() const { return has_shown_; }
  bool is_resumed() const { return SSL_session_reused(ssl_) != 0; }
  // By ALPN. False: nothing was agreed on.
  bool protocol(Protocol *protocol) const;
  const TlsFault &fault() const { return fault_; }

 private:
  friend struct TlsEvents;
  enum { kAsides = 32, kAsidesPerSecond = 1 };

  explicit Tls(std::shared_ptr<const TlsIdentity> identity) : identity_(std::move(identity)) {}
  State stop(int rc);
  bool admitted();
  void blame();

  std::shared_ptr<const TlsIdentity> identity_;
  SSL *ssl_ = nullptr;
  State state_ = State::kHandshake;
  bool is_parted_ = false;  // our close_notify is out
  bool is_flooded_ = false;
  bool has_shown_ = false;
  Budget asides_{kAsides, kAsidesPerSecond};
  int first_ = -1;  // the peer's first byte
  const char *in_ = nullptr;
  size_t in_size_ = 0;
  Buffer *out_ = nullptr;
  TlsFault fault_;
};

}  // namespace rl
