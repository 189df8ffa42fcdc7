#include "wire/http_date.h"

#include <time.h>

#include <cstdio>

namespace rl {

rl_view HttpDate::at(int64_t wall_ns) {
  constexpr uint32_t kSize = 29;
  const int64_t second = wall_ns / 1'000'000'000;
  if (second == second_) return {text_, kSize};
  second_ = second;
  static constexpr char kDays[] = "SunMonTueWedThuFriSat", kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const time_t at = second;
  tm t{};
  gmtime_r(&at, &t);
  std::snprintf(text_, sizeof text_, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", kDays + 3 * t.tm_wday,
                static_cast<unsigned>(t.tm_mday) % 100, kMonths + 3 * t.tm_mon,
                static_cast<unsigned>(t.tm_year + 1900) % 10000, static_cast<unsigned>(t.tm_hour) % 100,
                static_cast<unsigned>(t.tm_min) % 100, static_cast<unsigned>(t.tm_sec) % 100);
  return {text_, kSize};
}

}  // namespace rl
