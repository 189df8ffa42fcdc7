// A coarse timer wheel for one thread: ticks of about 8 ms, never early, late by at most two ticks. Arming and
// cancelling are O(1).
#pragma once
#include <cstdint>

namespace rl {

struct Timer {
  Timer *previous = nullptr, *next = nullptr;
  int64_t at_ns = 0;  // 0: not armed
  uint32_t slot = 0;
};

class TimerWheel {
 public:
  explicit TimerWheel(int64_t now_ns) : tick_(now_ns >> kShift) {}

  void arm(Timer *timer, int64_t at_ns);
  void cancel(Timer *timer);

  // Calls fire(timer) for each timer that is due; it may arm or cancel any timer.
  template <typename F>
  void expire(int64_t now_ns, F fire) {
    const int64_t until = now_ns >> kShift;
    while (tick_ < until) {
      // After a long sleep one round over the wheel is enough.
      if (until - tick_ > kSlots) tick_ = until - kSlots;
      const auto slot = static_cast<uint32_t>(++tick_ & (kSlots - 1));
      while (Timer *timer = heads_[slot]) {
        const int64_t at = timer->at_ns;
        cancel(timer);
        if (at > now_ns) {
          arm(timer, at);  // beyond the wheel's reach when it was armed
        } else {
          fire(timer);
        }
      }
    }
  }

  // Milliseconds from now until the next timer may be due; -1 when none is armed.
  int sleep_ms(int64_t now_ns) const;

 private:
  static constexpr int kShift = 23;       // 2^23 ns = 8.4 ms
  static constexpr int64_t kSlots = 512;  // 4.3 s

  Timer *heads_[kSlots] = {};
  uint64_t used_[kSlots / 64] = {};  // a bit for each slot that is not empty
  int64_t tick_;                     // the last one done
};

}  // namespace rl
