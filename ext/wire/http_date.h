// The Date field (RFC 9110 5.6.7), made once a second.
#pragma once
#include <cstdint>

#include "core/view.h"

namespace rl {

class HttpDate {
 public:
  // "Sun, 06 Nov 1994 08:49:37 GMT"; valid until the next call.
  rl_view at(int64_t wall_ns);

 private:
  int64_t second_ = -1;
  char text_[32];
};

}  // namespace rl
