#include "net/timer.h"

#include <algorithm>
#include <bit>

namespace rl {

void TimerWheel::arm(Timer *timer, int64_t at_ns) {
  if (timer->at_ns != 0) cancel(timer);
  const int64_t tick = std::clamp((at_ns >> kShift) + 1, tick_ + 1, tick_ + kSlots - 1);
  timer->at_ns = std::max<int64_t>(at_ns, 1);
  timer->slot = static_cast<uint32_t>(tick & (kSlots - 1));
  timer->previous = nullptr;
  timer->next = heads_[timer->slot];
  if (timer->next) timer->next->previous = timer;
  heads_[timer->slot] = timer;
  used_[timer->slot / 64] |= uint64_t{1} << (timer->slot % 64);
}

void TimerWheel::cancel(Timer *timer) {
  if (timer->at_ns == 0) return;
  if (timer->next) timer->next->previous = timer->previous;
  if (timer->previous) {
    timer->previous->next = timer->next;
  } else {
    heads_[timer->slot] = timer->next;
    if (!timer->next) used_[timer->slot / 64] &= ~(uint64_t{1} << (timer->slot % 64));
  }
  timer->at_ns = 0;
}

int TimerWheel::sleep_ms(int64_t now_ns) const {
  for (int64_t tick = tick_ + 1; tick < tick_ + kSlots; ++tick) {
    const auto slot = static_cast<uint32_t>(tick & (kSlots - 1));
    const uint64_t later = used_[slot / 64] >> (slot % 64);
    if (later == 0) {
      tick += 63 - slot % 64;
      continue;
    }
    tick += std::countr_zero(later);
    if (tick >= tick_ + kSlots) break;
    const int64_t ns = (tick << kShift) - now_ns;
    return ns <= 0 ? 0 : static_cast<int>((ns + 999'999) / 1'000'000);
  }
  return -1;
}

}  // namespace rl
