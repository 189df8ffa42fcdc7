#include "net/tls_desk.h"

#include <algorithm>
#include <utility>

namespace rl {

std::shared_ptr<const TlsIdentity> TlsDesk::identity() const {
  const std::lock_guard lock(lock_);
  return identity_;
}

void TlsDesk::put(std::shared_ptr<const TlsIdentity> identity) {
  const std::lock_guard lock(lock_);
  identity_.swap(identity);
}

void TlsDesk::report(const rl_tls_failure &failure, int64_t now_ns) {
  const std::lock_guard lock(lock_);
  budget_.refill(now_ns);
  if (count_ == failures_.size() || !budget_.spend()) return;
  failures_[count_++] = failure;
}

size_t TlsDesk::failures(rl_tls_failure *out, size_t most) {
  const std::lock_guard lock(lock_);
  const size_t n = std::min(most, count_);
  std::copy_n(failures_.begin(), n, out);
  std::move(failures_.begin() + n, failures_.begin() + count_, failures_.begin());
  count_ -= n;
  return n;
}

}  // namespace rl
