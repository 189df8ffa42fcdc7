#include <openssl/evp.h>

#include <charconv>

#include "bytes/transforms.h"

namespace rl {
namespace {

// kUnchanged when the library refuses the algorithm (as a FIPS build does with MD5).
uint32_t digest(const EVP_MD *algorithm, rl_view in, char *out) {
  unsigned size = 0;
  int good = EVP_Digest(in.data, in.size, reinterpret_cast<unsigned char *>(out), &size, algorithm, nullptr);
  return good ? size : kUnchanged;
}

}  // namespace

// Decimal, in bytes.
uint32_t length(rl_view in, char *out) {
  return static_cast<uint32_t>(std::to_chars(out, out + 10, in.size).ptr - out);
}

uint32_t md5(rl_view in, char *out) { return digest(EVP_md5(), in, out); }

uint32_t sha1(rl_view in, char *out) { return digest(EVP_sha1(), in, out); }

}  // namespace rl
