// What workers and the control thread share about TLS: the identity in force, and failed handshakes for the log.
#pragma once
#include <array>
#include <memory>
#include <mutex>

#include "net/server.h"
#include "net/tls_identity.h"
#include "wire/budget.h"

namespace rl {

class TlsDesk {
 public:
  // NULL: none was put.
  std::shared_ptr<const TlsIdentity> identity() const;
  void put(std::shared_ptr<const TlsIdentity> identity);

  // Keeps it for failures(), unless there were too many of late.
  void report(const rl_tls_failure &failure, int64_t now_ns);
  size_t failures(rl_tls_failure *out, size_t most);

 private:
  enum { kKept = 64, kBurst = 20, kPerSecond = 5 };

  mutable std::mutex lock_;
  std::shared_ptr<const TlsIdentity> identity_;
  Budget budget_{kBurst, kPerSecond};
  std::array<rl_tls_failure, kKept> failures_;
  size_t count_ = 0;
};

}  // namespace rl
