// The gates before libinjection: what they call benign, it does. $RATELIMITD_LIBINJECTION names the library.
#include "bytes/injection.h"

#include "fuzz.h"

using fuzz::Block;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const bool loaded = [] {
    char error[128] = "no library is named";
    const char *path = std::getenv("RATELIMITD_LIBINJECTION");
    if (path && rl_injection_load(path, error, sizeof error)) return true;
    std::fprintf(stderr, "RATELIMITD_LIBINJECTION: %s\n", error);
    std::exit(1);
  }();
  (void)loaded;
  const Block text(data, size);
  char fingerprint[8];
  if (rl_benign_sqli(text.view())) MUST(!rl_detect_sqli(text.view(), fingerprint));
  if (rl_benign_xss(text.view())) MUST(!rl_detect_xss(text.view()));
  return 0;
}
