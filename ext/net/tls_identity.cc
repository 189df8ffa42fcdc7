#include "net/tls_identity.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>

namespace rl {
namespace {

constexpr char kCiphers12[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
// AES-128 first: a third cheaper, and no weaker in practice.
constexpr char kCiphers13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr char kGroups[] = "X25519:P-256:P-384";
constexpr unsigned char kProtocols[] = "\x02h2\x08http/1.1";
constexpr unsigned char kSessions[] = "ratelimitd";
enum : long { kTicketSeconds = 3600, kMaxChain = 32 << 10 };

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T *it) const {
    Free(it);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;

Bio reader(rl_view pem) { return Bio(BIO_new_mem_buf(pem.data ? pem.data : "", static_cast<int>(pem.size))); }

std::string last_error() {
  const char *words = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return words ? words : "unknown error";
}

bool fail(std::string *error, const std::string &text) {
  *error = text;
  ERR_clear_error();
  return false;
}

int64_t unix_seconds(const ASN1_TIME *time) {
  ASN1_TIME *epoch = ASN1_TIME_set(nullptr, 0);
  int days = 0, seconds = 0;
  const bool fine = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1;
  ASN1_TIME_free(epoch);
  return fine ? int64_t{days} * 86400 + seconds : 0;
}

// A key with a passphrase is refused instead of asked about on a terminal.
int no_passphrase(char *, int, int, void *) { return -1; }

// Ends well at the end of the text, where no block begins any more.
bool at_end() {
  const unsigned long error = ERR_peek_last_error();
  const bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

bool use_certificate(TlsIdentity *identity, rl_view pem, std::string *error) {
  const Bio bio = reader(pem);
  Certificate leaf(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
  if (!leaf) {
    return fail(error, at_end() ? "the certificate file has no certificate" : "the certificate: " + last_error());
  }
  if (SSL_CTX_use_certificate(identity->context, leaf.get()) != 1) {
    return fail(error, "the certificate: " + last_error());
  }
  while (X509 *next = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    if (SSL_CTX_add0_chain_cert(identity->context, next) == 1) continue;
    X509_free(next);
    return fail(error, "the certificate's chain: " + last_error());
  }
  if (!at_end()) return fail(error, "the certificate's chain: " + last_error());
  identity->info.not_before = unix_seconds(X509_get0_notBefore(leaf.get()));
  identity->info.not_after = unix_seconds(X509_get0_notAfter(leaf.get()));
  describe(leaf.get(), identity->info.certificate, sizeof identity->info.certificate);
  return true;
}

bool use_key(TlsIdentity *identity, rl_view pem, std::string *error) {
  const Bio bio = reader(pem);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) {
    return fail(error, "the key file has no private key that can be used (one with a passphrase cannot)");
  }
  if (SSL_CTX_use_PrivateKey(identity->context, key.get()) != 1 || SSL_CTX_check_private_key(identity->context) != 1) {
    return fail(error, "the key does not belong to the certificate: " + last_error());
  }
  return true;
}

bool use_authorities(TlsIdentity *identity, rl_view pem, std::string *error) {
  X509_STORE *store = SSL_CTX_get_cert_store(identity->context);
  const Bio bio = reader(pem);
  size_t count = 0;
  while (true) {
    const Certificate authority(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!authority) break;
    if (X509_STORE_add_cert(store, authority.get()) != 1 ||
        SSL_CTX_add_client_CA(identity->context, authority.get()) != 1) {
      return fail(error, "the client CA: " + last_error());
    }
    const int64_t until = unix_seconds(X509_get0_notAfter(authority.get()));
    identity->info.client_ca_not_after = count++ ? std::min(identity->info.client_ca_not_after, until) : until;
  }
  if (!at_end()) return fail(error, "the client CA: " + last_error());
  if (count == 0) return fail(error, "the client CA file has no certificate");
  return true;
}

bool use_names(TlsIdentity *identity, rl_view lines, std::string *error) {
  std::string_view left(lines.data ? lines.data : "", lines.size);
  while (!left.empty()) {
    const size_t end = std::min(left.find('\n'), left.size());
    TlsName name;
    if (!read_name(left.substr(0, end), &name)) {
      return fail(error, "the client name '" + std::string(left.substr(0, end)) +
                             "' is none; use edge.example.com, *.example.com, spiffe://prod/edge or spiffe://prod/*");
    }
    identity->names.push_back(std::move(name));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return true;
}

// Called with ok for each certificate of the chain, the peer's own (depth 0) last, and at every error.
int verify(int ok, X509_STORE_CTX *store) {
  const auto *ssl = static_cast<SSL *>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const auto *identity = static_cast<const TlsIdentity *>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const X509 *peer = X509_STORE_CTX_get0_cert(store);
  if (ok && X509_STORE_CTX_get_error_depth(store) == 0 && !is_allowed(identity->names, peer)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    ok = 0;
  }
  auto *told = static_cast<char *>(SSL_get_app_data(ssl));
  if (!ok && told && peer) describe(peer, told, kMaxDescription);
  return ok;
}

int choose_protocol(SSL *, const unsigned char **out, unsigned char *size, const unsigned char *offered,
                    unsigned offered_size, void *) {
  unsigned char *chosen;
  if (SSL_select_next_proto(&chosen, size, kProtocols, sizeof kProtocols - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// A session may outlive its client's certificate: then the client has to show one that is valid.
SSL_TICKET_RETURN use_ticket(SSL *, SSL_SESSION *session, const unsigned char *, size_t, SSL_TICKET_STATUS status,
                             void *) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const X509 *peer = SSL_SESSION_get0_peer(session);
  if (peer && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

bool set_up(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // sessions are in their tickets
  SSL_CTX_set_timeout(context, kTicketSeconds);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_max_cert_list(context, kMaxChain);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kCiphers12) == 1 && SSL_CTX_set_ciphersuites(context, kCiphers13) == 1 &&
         SSL_CTX_set1_groups_list(context, kGroups) == 1 &&
         SSL_CTX_set_session_id_context(context, kSessions, sizeof kSessions - 1) == 1 &&
         SSL_CTX_set_session_ticket_cb(context, nullptr, use_ticket, nullptr) == 1;
}

std::string_view text_of(const ASN1_STRING *string) {
  return {reinterpret_cast<const char *>(ASN1_STRING_get0_data(string)),
          static_cast<size_t>(ASN1_STRING_length(string))};
}

Names alternative_names(const X509 *certificate) {
  return Names(static_cast<GENERAL_NAMES *>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
}

bool is_graphic(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

bool read_name(std::string_view text, TlsName *name) {
  name->is_uri = text.find("://") != std::string_view::npos;
  if (text.empty() || !is_graphic(text)) return false;
  if (name->is_uri) {
    name->is_wild = text.size() > 2 && text.substr(text.size() - 2) == "/*";
    if (name->is_wild) text.remove_suffix(1);
  } else {
    name->is_wild = text.substr(0, 2) == "*.";
    if (name->is_wild) text.remove_prefix(1);
  }
  if (text.find('*') != std::string_view::npos || text == ".") return false;
  // "spiffe://*" would be anybody.
  if (name->is_uri && text.size() <= text.find("://") + 3) return false;
  name->text = text;
  if (!name->is_uri) {
    for (char &c : name->text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return true;
}

bool matches(const TlsName &name, bool is_uri, std::string_view text) {
  // A certificate may itself be for many hosts ("*.example.com"): none of them is known to ask.
  if (is_uri != name.is_uri || !is_graphic(text) || text.find('*') != std::string_view::npos) return false;
  if (is_uri) return name.is_wild ? text.size() > name.text.size() && text.starts_with(name.text) : text == name.text;
  if (name.is_wild) {
    const size_t dot = text.find('.');
    if (dot == 0 || dot == std::string_view::npos) return false;
    text.remove_prefix(dot);
  }
  return std::equal(text.begin(), text.end(), name.text.begin(), name.text.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == static_cast<unsigned char>(b);
  });
}

bool is_allowed(const std::vector<TlsName> &names, const X509 *certificate) {
  if (names.empty()) return true;
  const Names borne = alternative_names(certificate);
  for (int i = 0; borne && i < sk_GENERAL_NAME_num(borne.get()); ++i) {
    const GENERAL_NAME *one = sk_GENERAL_NAME_value(borne.get(), i);
    if (one->type != GEN_DNS && one->type != GEN_URI) continue;
    const bool is_uri = one->type == GEN_URI;
    const std::string_view text = text_of(is_uri ? one->d.uniformResourceIdentifier : one->d.dNSName);
    if (std::any_of(names.begin(), names.end(), [&](const TlsName &n) { return matches(n, is_uri, text); })) {
      return true;
    }
  }
  return false;
}

void describe(const X509 *certificate, char *to, size_t room) {
  size_t used = 0;
  const auto add = [&](std::string_view text) {
    for (const char c : text) {
      if (used + 1 < room) to[used++] = c >= ' ' && c < 0x7f ? c : '?';
    }
  };
  const Names borne = alternative_names(certificate);
  for (int i = 0; borne && i < sk_GENERAL_NAME_num(borne.get()); ++i) {
    const GENERAL_NAME *one = sk_GENERAL_NAME_value(borne.get(), i);
    if (one->type != GEN_DNS && one->type != GEN_URI) continue;
    if (used) add(", ");
    add(text_of(one->type == GEN_URI ? one->d.uniformResourceIdentifier : one->d.dNSName));
  }
  if (used == 0) {
    char *line = X509_NAME_oneline(X509_get_subject_name(certificate), nullptr, 0);
    if (line) add(line);
    OPENSSL_free(line);
  }
  if (room) to[used] = 0;
  ERR_clear_error();
}

std::shared_ptr<const TlsIdentity> make_identity(const rl_tls_parts &parts, std::string *error) {
  auto identity = std::make_shared<TlsIdentity>();
  ERR_clear_error();
  identity->context = SSL_CTX_new(TLS_server_method());
  if (!identity->context || !set_up(identity->context)) {
    fail(error, "OpenSSL: " + last_error());
    return nullptr;
  }
  SSL_CTX_set_app_data(identity->context, identity.get());
  if (!use_certificate(identity.get(), parts.certificate, error) || !use_key(identity.get(), parts.key, error) ||
      !use_names(identity.get(), parts.client_names, error)) {
    return nullptr;
  }
  identity->is_mutual = parts.client_ca.size > 0;
  if (!identity->is_mutual) {
    if (identity->names.empty()) return identity;
    fail(error, "client names need a client CA");
    return nullptr;
  }
  if (!use_authorities(identity.get(), parts.client_ca, error)) return nullptr;
  // Every certificate of the file is trusted as it stands, an intermediate one, too.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(identity->context), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(identity->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
  return identity;
}

}  // namespace rl
