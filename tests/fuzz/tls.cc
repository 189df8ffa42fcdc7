// One connection over TLS, whose peer is OpenSSL's client with its bytes spoilt on the way, or bytes that are none of
// TLS at all. Whatever comes: no more plain bytes than there is room for, none before hands are shaken, and none that
// the client did not write, in its order.
#include "net/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>

#include "fuzz.h"

using fuzz::Block;
using rl::Tls;

namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr size_t kMost = 1 << 18;  // bytes of a connection

std::string text_of(BIO *bio) {
  char *data;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

rl_view view(const std::string &text) { return {text.data(), static_cast<uint32_t>(text.size())}; }

// Who the server is, with and without a client CA, and what its clients go by.
struct World {
  World() {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *made = X509_new();
    MUST(key && made && X509_set_version(made, 2) == 1 && X509_set_pubkey(made, key) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_NAME *name = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char *>("localhost"), -1, -1,
                               0);
    X509_set_issuer_name(made, name);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:edge.example.com");
    MUST(names && X509_add_ext(made, names, -1) == 1 && X509_sign(made, key, EVP_sha256()) > 0);
    X509_EXTENSION_free(names);
    BIO *out = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    MUST(PEM_write_bio_X509(out, made) == 1);
    MUST(PEM_write_bio_PrivateKey(secret, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    const std::string certificate = text_of(out), private_key = text_of(secret), allowed = "*.example.com";
    std::string error;
    open = rl::make_identity({view(certificate), view(private_key), {}, {}}, &error);
    mutual = rl::make_identity({view(certificate), view(private_key), view(certificate), view(allowed)}, &error);
    MUST(open && mutual);
    client = SSL_CTX_new(TLS_client_method());
    MUST(client && SSL_CTX_use_certificate(client, made) == 1 && SSL_CTX_use_PrivateKey(client, key) == 1);
  }

  std::shared_ptr<const rl::TlsIdentity> open, mutual;
  SSL_CTX *client;
};

// The connection as its owner has it, and what the client wrote: all that may come out.
struct Served {
  explicit Served(const std::shared_ptr<const rl::TlsIdentity> &identity) : tls(Tls::create(identity)) { MUST(tls); }

  void take(const char *bytes, size_t size) {
    taken += size;
    const Tls::State before = tls->state();
    Block sealed(bytes, size), plain(size + Tls::kRecord);
    size_t opened = 0;
    const Tls::State after = tls->recv(sealed.data.get(), size, plain.data.get(), &opened, &out, now += kMillisecond);
    MUST(after == tls->state() && opened <= plain.size);
    MUST(opened == 0 || before == Tls::State::kOpen || before == Tls::State::kHandshake);
    MUST(opened == 0 || after != Tls::State::kHandshake);
    if (before == Tls::State::kFailed || before == Tls::State::kClosed) MUST(after == before && opened == 0);
    MUST(read + opened <= written.size() && written.compare(read, opened, plain.data.get(), opened) == 0);
    read += opened;
    if (after == Tls::State::kFailed && before == Tls::State::kHandshake) {
      MUST(tls->fault().reason < RL_TLS_REASON_COUNT);
      MUST(std::memchr(tls->fault().detail, 0, sizeof tls->fault().detail));
      MUST(std::memchr(tls->fault().certificate, 0, sizeof tls->fault().certificate));
    }
    rl::Protocol protocol;
    if (after == Tls::State::kOpen) tls->protocol(&protocol);
  }

  std::unique_ptr<Tls> tls;
  rl::Buffer out;
  std::string written;
  size_t read = 0, taken = 0;
  int64_t now = 1;
};

// Bytes on their way, spoilt as the input says where it says so.
void pass_on(std::string *sent, fuzz::Input *input, Served *served) {
  const uint8_t how = input->byte();
  if (how & 0x80 && !sent->empty()) {
    const size_t at = (input->byte() << 8 | input->byte()) % sent->size();
    switch (how & 3) {
      case 0:
        (*sent)[at] = static_cast<char>((*sent)[at] ^ (input->byte() | 1));
        break;
      case 1:
        sent->resize(at);
        break;
      case 2:
        sent->insert(at, sent->substr(0, 1 + input->byte()));
        break;
      default:
        sent->replace(at, 1, std::string(input->byte(), static_cast<char>(input->byte())));
    }
  }
  const size_t step = how & 0x40 ? 1 + input->byte() : sent->size();
  for (size_t at = 0; at < sent->size() && served->taken < kMost; at += step) {
    served->take(sent->data() + at, std::min(step, sent->size() - at));
  }
  sent->clear();
}

void by_a_client(const World &world, uint8_t how, fuzz::Input *input, Served *served) {
  SSL *client = SSL_new(world.client);
  BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
  MUST(client && in && out);
  SSL_set_bio(client, in, out);
  SSL_set_connect_state(client);
  SSL_set_max_proto_version(client, how & 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  if (how & 4) SSL_set_alpn_protos(client, reinterpret_cast<const unsigned char *>("\2h2\10http/1.1"), 12);
  std::string sent;
  for (int turn = 0; turn < 24; ++turn) {
    char plain[4096];
    if (SSL_is_init_finished(client)) {
      const uint8_t act = input->byte();
      size_t moved = 0;
      if (act & 1) {
        const std::string data(1 + 64 * size_t{input->byte()}, static_cast<char>('a' + turn));
        if (SSL_write_ex(client, data.data(), data.size(), &moved) == 1) served->written.append(data, 0, moved);
      }
      if (act & 2) SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED);
      if (act & 4) SSL_renegotiate(client);
      if (act & 8) SSL_shutdown(client);
      if (act & 16) served->tls->seal("an answer", 9, &served->out);
      if (act & 32) served->tls->close(&served->out);
      SSL_read_ex(client, plain, sizeof plain, &moved);
    } else {
      SSL_do_handshake(client);
    }
    char *data;
    const long size = BIO_get_mem_data(out, &data);
    sent.assign(data, static_cast<size_t>(size));
    BIO_reset(out);
    pass_on(&sent, input, served);
    if (!served->out.empty()) BIO_write(in, served->out.data(), static_cast<int>(served->out.size()));
    served->out.clear();
  }
  SSL_free(client);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const World *world = new World;
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  Served served(how & 1 ? world->mutual : world->open);
  if (how & 8) {
    by_a_client(*world, how, &input, &served);
  } else {
    const size_t step = 1 + 4 * size_t{input.byte()};
    const Block bytes = input.rest();
    for (size_t at = 0; at < bytes.size; at += step) {
      served.take(bytes.data.get() + at, std::min(step, bytes.size - at));
    }
    MUST(served.tls->state() != Tls::State::kOpen);  // nobody shakes hands by chance
  }
  served.tls->close(&served.out);
  return 0;
}
