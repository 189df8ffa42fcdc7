from libc.stdint cimport int64_t, uint16_t, uint32_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.layout cimport waf_scratch

cdef extern from *:
    """
    #include <chrono>
    #include <time.h>

    // Seconds that the clock on the wall is ahead of UTC. Takes a lock of the C library's.
    static int64_t zone_at(int64_t seconds) {
      time_t now = (time_t)seconds;
      struct tm local;
      return localtime_r(&now, &local) ? local.tm_gmtoff : 0;
    }

    // What gmtime_r does, without that lock.
    static void civil(int64_t seconds, struct tm *out) {
      using namespace std::chrono;
      const sys_seconds now{std::chrono::seconds{seconds}};
      const sys_days day = floor<days>(now);
      const year_month_day date{day};
      const hh_mm_ss time{now - day};
      out->tm_year = (int)date.year() - 1900;
      out->tm_mon = (int)(unsigned)date.month() - 1;
      out->tm_mday = (int)(unsigned)date.day();
      out->tm_wday = (int)weekday{day}.c_encoding();
      out->tm_hour = (int)time.hours().count();
      out->tm_min = (int)time.minutes().count();
      out->tm_sec = (int)time.seconds().count();
    }
    """
    cdef struct tm:
        int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday

    int64_t zone_at(int64_t seconds) noexcept nogil
    void civil(int64_t seconds, tm *out) noexcept nogil

cdef enum:
    ZONE_SECONDS = 900        # zones change their offset at whole quarters of an hour
    TEXT_BYTES = 16


cdef bint is_time(uint16_t variable) noexcept nogil:
    return variable == WAF_TIME or WAF_TIME_DAY <= variable <= WAF_TIME_MIN or WAF_TIME_MON <= variable <= WAF_TIME_YEAR


cdef int64_t wall_clock(waf_scratch *scratch) noexcept nogil:
    """Now, in seconds since 1970 in the zone of the process. The zone is asked for once in a quarter of an hour."""
    cdef int64_t now = scratch.moment.now_ms // 1000
    if not scratch.zone_until_s - ZONE_SECONDS <= now < scratch.zone_until_s:
        scratch.zone_s = zone_at(now)
        scratch.zone_until_s = now - now % ZONE_SECONDS + ZONE_SECONDS
    return now + scratch.zone_s


cdef void put(char *text, uint32_t *size, int number) noexcept nogil:
    """Two digits."""
    text[size[0]] = <char>(c'0' + number // 10)
    text[size[0] + 1] = <char>(c'0' + number % 10)
    size[0] += 2


cdef uint32_t written(uint16_t variable, const tm *now, char *text) noexcept nogil:
    """As libmodsecurity 3.0.15 writes it."""
    cdef uint32_t size = 0
    if variable == WAF_TIME:
        put(text, &size, now.tm_hour)
        text[size] = c':'
        size += 1
        put(text, &size, now.tm_min)
        text[size] = c':'
        size += 1
        put(text, &size, now.tm_sec)
    elif variable == WAF_TIME_YEAR:
        put(text, &size, (now.tm_year + 1900) // 100)
        put(text, &size, (now.tm_year + 1900) % 100)
    elif variable == WAF_TIME_MON:
        put(text, &size, now.tm_mon + 1)
    elif variable == WAF_TIME_WDAY:
        text[0] = <char>(c'0' + (now.tm_wday if now.tm_wday else 7))
        size = 1
    elif variable == WAF_TIME_DAY:
        put(text, &size, now.tm_mday)
    elif variable == WAF_TIME_HOUR:
        put(text, &size, now.tm_hour)
    elif variable == WAF_TIME_MIN:
        put(text, &size, now.tm_min)
    else:
        put(text, &size, now.tm_sec)
    return size


cdef rl_view time_text(waf_scratch *scratch, uint16_t variable) noexcept nogil:
    cdef tm now
    cdef uint32_t size
    cdef char *text = arena_reserve(&scratch.memory, TEXT_BYTES)
    if text == NULL:
        scratch.out.error = 1
        return rl_view("", 0)
    civil(wall_clock(scratch), &now)
    size = written(variable, &now, text)
    arena_commit(&scratch.memory, size)
    return rl_view(text, size)
