#include "net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

namespace rl {

// OpenSSL's view of our buffers: a source that runs dry and a sink that never fills.
struct TlsEvents {
  static int read(BIO *bio, char *to, size_t size, size_t *taken) {
    auto *tls = static_cast<Tls *>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (tls->in_size_ == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    const size_t n = std::min(size, tls->in_size_);
    std::memcpy(to, tls->in_, n);
    tls->in_ += n;
    tls->in_size_ -= n;
    *taken = n;
    return 1;
  }

  static int write(BIO *bio, const char *bytes, size_t size, size_t *taken) {
    auto *tls = static_cast<Tls *>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (!tls->out_ || !tls->out_->append(bytes, size)) return 0;
    *taken = size;
    return 1;
  }

  static long control(BIO *, int command, long, void *) { return command == BIO_CTRL_FLUSH; }

  // Every message that OpenSSL has read or written. Handshakes are over, so more of their kind are asides.
  static void message(int is_ours, int, int type, const void *bytes, size_t size, SSL *, void *self) {
    auto *tls = static_cast<Tls *>(self);
    if (is_ours && type == SSL3_RT_HANDSHAKE && size > 0) {
      tls->has_shown_ |= *static_cast<const unsigned char *>(bytes) == SSL3_MT_CERTIFICATE;
    }
    if (is_ours || type != SSL3_RT_HANDSHAKE || tls->state_ != Tls::State::kOpen || tls->asides_.spend()) return;
    tls->is_flooded_ = true;
    tls->in_size_ = 0;  // nothing more is read
  }

  static BIO_METHOD *method() {
    static BIO_METHOD *const made = [] {
      BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffers");
      if (m) {
        BIO_meth_set_read_ex(m, read);
        BIO_meth_set_write_ex(m, write);
        BIO_meth_set_ctrl(m, control);
      }
      return m;
    }();
    return made;
  }
};

namespace {

enum { kHandshakeRecord = 0x16 };

constexpr char kPlainAnswer[] =
    "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 23\r\nconnection: close\r\n\r\n"
    "this port speaks TLS.\r\n";

int reason_of_certificate(long error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return RL_TLS_EXPIRED;
    case X509_V_ERR_APPLICATION_VERIFICATION:
      return RL_TLS_NAME;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      return RL_TLS_UNKNOWN_CA;
    default:
      return RL_TLS_BAD_CERTIFICATE;
  }
}

int reason_of_error(int error) {
  if (error >= SSL_AD_REASON_OFFSET) return RL_TLS_REFUSED_BY_PEER;  // an alert of the peer's
  switch (error) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return RL_TLS_NO_CERTIFICATE;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_INAPPROPRIATE_FALLBACK:
      return RL_TLS_NOTHING_IN_COMMON;
    default:
      return RL_TLS_PROTOCOL_ERROR;
  }
}

}  // namespace

std::unique_ptr<Tls> Tls::create(std::shared_ptr<const TlsIdentity> identity) {
  BIO_METHOD *method = TlsEvents::method();
  if (!method || !identity) return nullptr;
  std::unique_ptr<Tls> tls(new (std::nothrow) Tls(std::move(identity)));
  if (!tls) return nullptr;
  tls->ssl_ = SSL_new(tls->identity_->context);
  BIO *bio = BIO_new(method);
  if (!tls->ssl_ || !bio) {
    BIO_free(bio);
    return nullptr;
  }
  BIO_set_data(bio, tls.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(tls->ssl_, bio, bio);
  SSL_set_app_data(tls->ssl_, tls->fault_.certificate);
  SSL_set_msg_callback(tls->ssl_, TlsEvents::message);
  SSL_set_msg_callback_arg(tls->ssl_, tls.get());
  SSL_set_accept_state(tls->ssl_);
  return tls;
}

Tls::State Tls::recv(const char *bytes, size_t size, char *plain, size_t *plain_size, Buffer *out, int64_t now_ns) {
  *plain_size = 0;
  if (state_ == State::kFailed || state_ == State::kClosed) return state_;
  if (first_ < 0 && size > 0) first_ = static_cast<unsigned char>(*bytes);
  const size_t room = size + kRecord;
  const size_t before = out->size();
  in_ = bytes;
  in_size_ = size;
  out_ = out;
  asides_.refill(now_ns);
  ERR_clear_error();
  if (state_ == State::kHandshake) {
    const int rc = SSL_do_handshake(ssl_);
    if (rc != 1) {
      if (stop(rc) == State::kFailed && fault_.reason == RL_TLS_NOT_TLS) {
        // An alert would tell such a peer nothing; who speaks HTTP reads this.
        out->truncate(before);
        out->append(kPlainAnswer, sizeof kPlainAnswer - 1);
      }
      return state_;
    }
    if (!admitted()) return state_ = State::kFailed;
    state_ = State::kOpen;
  }
  while (*plain_size < room) {
    size_t n = 0;
    const int rc = SSL_read_ex(ssl_, plain + *plain_size, room - *plain_size, &n);
    if (is_flooded_) return state_ = State::kFailed;
    if (rc != 1) return stop(rc);
    *plain_size += n;
  }
  return state_ = State::kFailed;  // cannot be: more came out than went in
}

// What a call that did not get on means.
Tls::State Tls::stop(int rc) {
  switch (SSL_get_error(ssl_, rc)) {
    case SSL_ERROR_WANT_READ:
      return state_;
    case SSL_ERROR_ZERO_RETURN:
      return state_ = State::kClosed;
    default:
      if (state_ == State::kHandshake) blame();
      return state_ = State::kFailed;
  }
}

void Tls::blame() {
  const unsigned long error = ERR_peek_error();
  const int code = ERR_GET_REASON(error);
  const char *words = ERR_reason_error_string(error);
  if (code == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    const long verified = SSL_get_verify_result(ssl_);
    fault_.reason = reason_of_certificate(verified);
    words = fault_.reason == RL_TLS_NAME ? "its names are not allowed" : X509_verify_cert_error_string(verified);
  } else {
    fault_.reason = first_ == kHandshakeRecord ? reason_of_error(code) : int{RL_TLS_NOT_TLS};
  }
  std::snprintf(fault_.detail, sizeof fault_.detail, "%s", words ? words : "");
}

// OpenSSL has looked at the certificate, now or when the session that is resumed began. That must still hold.
bool Tls::admitted() {
  if (!identity_->is_mutual) return true;
  const X509 *certificate = SSL_get0_peer_certificate(ssl_);
  if (!certificate) {
    fault_.reason = RL_TLS_NO_CERTIFICATE;
  } else if (SSL_get_verify_result(ssl_) != X509_V_OK) {
    fault_.reason = RL_TLS_BAD_CERTIFICATE;
  } else if (!is_allowed(identity_->names, certificate)) {
    fault_.reason = RL_TLS_NAME;
  } else {
    return true;
  }
  if (certificate) describe(certificate, fault_.certificate, sizeof fault_.certificate);
  return false;
}

bool Tls::seal(const char *bytes, size_t size, Buffer *out) {
  if (size == 0) return true;
  if (state_ != State::kOpen && state_ != State::kClosed) return false;
  size_t written = 0;
  out_ = out;
  ERR_clear_error();
  return SSL_write_ex(ssl_, bytes, size, &written) == 1 && written == size;
}

void Tls::close(Buffer *out) {
  if (is_parted_ || (state_ != State::kOpen && state_ != State::kClosed)) return;
  is_parted_ = true;
  out_ = out;
  ERR_clear_error();
  SSL_shutdown(ssl_);
}

bool Tls::protocol(Protocol *protocol) const {
  const unsigned char *name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  if (size == 0) return false;
  *protocol = size == 2 ? Protocol::kHttp2 : Protocol::kHttp1;
  return true;
}

}  // namespace rl
