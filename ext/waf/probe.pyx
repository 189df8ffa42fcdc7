"""Programs for tests: build one, run requests given as dicts."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ratelimitd._ext.convert cimport Request, Response
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.answers cimport (
    answers_find, answers_free, answers_new, answers_put, answers_stats, answers_take, waf_answers, waf_answers_stats, waf_question,
)
from ratelimitd._ext.waf.build cimport waf_build, waf_databases, waf_free
from ratelimitd._ext.waf.constants cimport WAF_SOURCES
from ratelimitd._ext.waf.layout cimport waf_moment, waf_program, waf_result, waf_scratch, waf_value
from ratelimitd._ext.limit.key cimport key_digest, key_hash, key_secret
from ratelimitd._ext.waf.records cimport (
    records_add, records_free, records_new, records_stats, waf_change, waf_records, waf_records_stats,
)
from ratelimitd._ext.waf.select cimport item_name
from ratelimitd._ext.waf.store cimport value_text
from ratelimitd._ext.waf.transaction cimport waf_request, waf_response, waf_scratch_free, waf_scratch_new, waf_scratch_prepare

import time


cdef extern from "malloc.h" nogil:
    cdef struct mallinfo2_t "mallinfo2":
        size_t uordblks
        size_t hblkhd

    mallinfo2_t mallinfo2()


cdef bytes taken(rl_view view):
    return view.data[:view.size] if view.size else b""


cdef class Records:
    """What rules keep between requests, shared by the programs that are given it."""

    cdef waf_records *data
    cdef key_secret secret

    def __init__(self, uint64_t max_records=1024):
        self.data = records_new(max_records)
        self.secret.k0 = 1
        self.secret.k1 = 2
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        records_free(self.data)

    def stats(self) -> dict:
        cdef waf_records_stats stats
        records_stats(self.data, &stats)
        return stats

    def add(self, uint64_t lo, uint64_t hi, bytes name, uint32_t rounds, int64_t now_ms) -> int:
        """Adds 1 to a variable of the record of this digest, without the interpreter lock; what it is then, or -1."""
        cdef waf_change change
        cdef int64_t total = -1
        cdef uint32_t i
        change.digest.lo = lo
        change.digest.hi = hi
        change.now_ms = now_ms
        change.timeout_s = 3600
        change.first = 1
        change.name = rl_view(<const char *>name, <uint32_t>len(name))
        with nogil:
            for i in range(rounds):
                if not records_add(self.data, &change, 1, &total):
                    total = -1
        return total


cdef class Answers:
    """What blocklists have said, shared by the programs that are given it."""

    cdef waf_answers *data
    cdef key_secret secret

    def __init__(self, uint64_t max_answers=1024):
        self.data = answers_new(max_answers)
        self.secret.k0 = 1
        self.secret.k1 = 2
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        answers_free(self.data)

    def stats(self) -> dict:
        cdef waf_answers_stats stats
        answers_stats(self.data, &stats)
        return stats

    cdef key_digest digest(self, bytes name):
        cdef key_digest digest
        key_hash(&self.secret, <const char *>name, len(name), &digest)
        return digest

    def find(self, bytes name, int64_t now_ms=0, bint look=False) -> int:
        cdef key_digest digest = self.digest(name)
        return answers_find(self.data, &digest, rl_view(<const char *>name, <uint32_t>len(name)), 0, now_ms, look)

    def put(self, bytes name, uint32_t address, int64_t now_ms=0, int64_t for_ms=60000):
        cdef key_digest digest = self.digest(name)
        answers_put(self.data, &digest, address, now_ms, for_ms)

    def questions(self) -> list:
        """(name, the blocklist's part of it) of all that wait."""
        cdef waf_question question
        found = []
        while answers_take(self.data, &question):
            name = question.name[:question.size]
            found.append((name, name[question.service:]))
        return found


cdef class Program:
    cdef waf_program *program
    cdef waf_scratch *scratch
    cdef waf_result *result
    cdef waf_moment moment
    cdef Records records
    cdef Answers answers
    cdef bytes domain
    cdef Request asked          # the last one: the store may point into it

    def __init__(self, program, cache_dir=None, bint direct=False, Records records=None, bytes domain=b"", Answers answers=None):
        """direct: without any of the shortcuts of scanning. Without records nothing outlives a request."""
        self.records = records
        self.domain = domain
        self.moment.domain = rl_view(<const char *>domain, <uint32_t>len(domain))
        if records is not None:
            self.moment.records = records.data
            self.moment.secret = &records.secret
        self.answers = answers
        if answers is not None:
            self.moment.answers = answers.data
            self.moment.secret = &answers.secret
        self.result = <waf_result *>calloc(1, sizeof(waf_result))
        self.scratch = waf_scratch_new()
        self.program = waf_build(program, cache_dir, direct)
        if waf_scratch_prepare(self.scratch, self.program) != 0:
            raise MemoryError

    def __dealloc__(self):
        waf_scratch_free(self.scratch)
        waf_free(self.program)
        free(self.result)

    def databases(self):
        return waf_databases(self.program)

    def memory(self):
        """Bytes of the program, but for databases and regular expressions; how many of the latter it has."""
        return self.program.memory.held, self.program.regex_count

    def store(self) -> dict:
        """Name -> value of what is set in TX and its kin after the last request."""
        cdef waf_value *value
        cdef uint32_t i
        cdef uint32_t at
        found = {}
        for i in range(self.program.store_count + self.scratch.dynamic_count):
            if i < self.program.store_count:
                name = self.program.store_names[i]
                value = &self.scratch.store[i]
            else:
                at = self.scratch.dynamic_order[i - self.program.store_count]
                name = self.scratch.dynamic[at].name
                value = &self.scratch.dynamic[at].value
            if value.set:
                found[taken(name)] = taken(value_text(self.scratch, value))
        return found

    def direct(self):
        """First links that are evaluated in their turn, whatever the request."""
        return [i for i in range(self.program.link_count) if self.program.direct[i >> 6] >> (i & 63) & 1]

    def run(self, dict request, uint32_t body_limit=1 << 20, bint detect=False, int64_t now_ms=0) -> dict:
        cdef Request made = Request(request)
        self.moment.now_ms = now_ms
        self.moment.dry_run = made.data.dry_run
        self.asked = made
        with nogil:
            waf_request(self.program, self.scratch, &self.moment, &made.data, body_limit, detect, self.result)
        return self.outcome()

    def run_response(self, dict request, dict response, uint32_t body_limit=1 << 20, bint detect=False, int64_t now_ms=0) -> dict:
        cdef Request asked = Request(request)
        cdef Response answered = Response(response)
        self.moment.now_ms = now_ms
        self.moment.dry_run = asked.data.dry_run
        self.asked = asked
        with nogil:
            waf_response(self.program, self.scratch, &self.moment, &asked.data, &answered.data, body_limit, detect, self.result)
        return self.outcome()

    cdef dict outcome(self):
        cdef waf_result *out = self.result
        cdef uint32_t i
        fired = []
        for i in range(out.fired_count):
            link = &self.program.links[out.fired[i].link]
            fired.append({
                "rule": link.rule, "id": taken(link.id), "target": taken(item_name(self.scratch, &out.fired[i].item)), "value": taken(out.fired[i].item.value),
                "score": out.fired[i].score,
            })
        return {
            "fired": fired, "denied": bool(out.denied), "score": out.score, "status": out.status, "deciding": out.deciding,
            "bytes_inspected": out.bytes_inspected, "inspected_all": bool(out.inspected_all), "error": bool(out.error),
        }

    def heap_growth(self, dict request, int rounds, uint32_t body_limit=1 << 20) -> int:
        """Bytes by which the heap grows while a request runs again and again."""
        cdef Request made = Request(request)
        cdef mallinfo2_t before
        cdef mallinfo2_t after
        cdef int i
        with nogil:
            waf_request(self.program, self.scratch, &self.moment, &made.data, body_limit, False, self.result)
            before = mallinfo2()
            for i in range(rounds):
                waf_request(self.program, self.scratch, &self.moment, &made.data, body_limit, False, self.result)
            after = mallinfo2()
        return (after.uordblks + after.hblkhd) - (before.uordblks + before.hblkhd)

    def time(self, dict request, uint32_t count, uint32_t body_limit=1 << 20) -> float:
        """CPU seconds of one run, over count of them."""
        cdef Request made = Request(request)
        cdef uint32_t i
        start = time.thread_time()
        with nogil:
            for i in range(count):
                waf_request(self.program, self.scratch, &self.moment, &made.data, body_limit, False, self.result)
        return (time.thread_time() - start) / count

    def arena(self):
        """Bytes of the transactions' memory; blocks of it that were allocated since the start."""
        return self.scratch.memory.held, self.scratch.memory.taken

    def fields(self) -> list:
        """(source, name, value) of every field of the last request."""
        cdef uint32_t source
        cdef uint32_t at
        found = []
        for source in range(WAF_SOURCES):
            at = self.scratch.sources[source].first
            while at:
                found.append((source, taken(self.scratch.fields[at - 1].name), taken(self.scratch.fields[at - 1].value)))
                at = self.scratch.fields[at - 1].next
        return found
