#include "bytes/injection.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>

namespace rl {
namespace {

// int in libinjection 3, in 4 an enum of the same size: 0 benign, 1 an injection, -1 an error.
using DetectSqli = int (*)(const char *text, size_t size, char *fingerprint);
using DetectXss = int (*)(const char *text, size_t size);

DetectSqli detect_sqli = nullptr;
DetectXss detect_xss = nullptr;

}  // namespace
}  // namespace rl

int rl_injection_load(const char *path, char *error, uint32_t error_size) {
  void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void *sqli = object ? dlsym(object, "libinjection_sqli") : nullptr;
  void *xss = object ? dlsym(object, "libinjection_xss") : nullptr;
  if (!sqli || !xss) {
    const char *reason = dlerror();
    std::snprintf(error, error_size, "%s", reason ? reason : "no libinjection in it");
    return 0;
  }
  rl::detect_sqli = reinterpret_cast<rl::DetectSqli>(sqli);
  rl::detect_xss = reinterpret_cast<rl::DetectXss>(xss);
  return 1;
}

int rl_injection_loaded(void) { return rl::detect_sqli != nullptr; }

int rl_detect_sqli(rl_view text, char fingerprint[8]) {
  std::memset(fingerprint, 0, 8);
  if (text.size == 0 || rl_benign_sqli(text)) return 0;
  return rl::detect_sqli(text.data, text.size, fingerprint) != 0;
}

int rl_detect_xss(rl_view text) { return !rl_benign_xss(text) && rl::detect_xss(text.data, text.size) != 0; }
