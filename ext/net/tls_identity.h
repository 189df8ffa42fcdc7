// Who we are over TLS and whom we let in: a certificate with its key, the authorities that clients' certificates must
// come from, and the names they may bear. Never changes: a reload makes another, and connections keep theirs.
#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/server.h"

namespace rl {

enum : size_t { kMaxDescription = RL_TLS_TEXT };

// A name that clients may bear. "*.example.com": any one label; "spiffe://prod/edge/*": anything below.
struct TlsName {
  bool is_uri = false, is_wild = false;
  std::string text;  // without the asterisk; of a host in lower case
};

struct TlsIdentity {
  TlsIdentity() = default;
  TlsIdentity(const TlsIdentity &) = delete;
  TlsIdentity &operator=(const TlsIdentity &) = delete;
  ~TlsIdentity() { SSL_CTX_free(context); }

  SSL_CTX *context = nullptr;
  bool is_mutual = false;      // clients need a certificate
  std::vector<TlsName> names;  // empty: any name will do
  rl_tls_info info{};
};

// TLS 1.2 and 1.3, tickets for resumption, h2 and http/1.1. NULL with *error when the parts are no working whole.
std::shared_ptr<const TlsIdentity> make_identity(const rl_tls_parts &parts, std::string *error);

// Does the certificate bear, as a subject alternative name, one that is allowed? With no names any does.
bool is_allowed(const std::vector<TlsName> &names, const X509 *certificate);
// False: not a name that is_allowed() could meet.
bool read_name(std::string_view text, TlsName *name);
bool matches(const TlsName &name, bool is_uri, std::string_view text);

// What a person knows it by: its alternative names, else its subject; printable, cut to the room there is.
void describe(const X509 *certificate, char *to, size_t room);

}  // namespace rl
