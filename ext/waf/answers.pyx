from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.shard cimport spin_lock, spin_unlock

cdef extern from "limit/memory.h" namespace "rl" nogil:
    void *memory_reserve(size_t bytes) noexcept
    void memory_release(void *start, size_t bytes) noexcept

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef enum:
    SHARDS = 16
    WAYS = 8                      # answers of a group: where a digest may be


cdef waf_answers *answers_new(uint64_t max_answers) noexcept nogil:
    cdef waf_answers *self = <waf_answers *>calloc(1, sizeof(waf_answers))
    cdef uint32_t groups = 1
    cdef uint32_t i
    cdef size_t each
    cdef char *at
    if self == NULL:
        return NULL
    while <uint64_t>groups * SHARDS * WAYS < max_answers and groups < <uint32_t>1 << 20:
        groups *= 2
    self.group_mask = groups - 1
    each = groups * WAYS * sizeof(waf_answer) + ANSWER_QUESTIONS * sizeof(waf_question)
    self.bytes = each * SHARDS
    self.memory = memory_reserve(self.bytes)
    self.shards = <waf_answer_shard *>aligned_alloc(64, SHARDS * sizeof(waf_answer_shard))
    if self.memory == NULL or self.shards == NULL:
        answers_free(self)
        return NULL
    memset(self.shards, 0, SHARDS * sizeof(waf_answer_shard))
    for i in range(SHARDS):
        at = <char *>self.memory + i * each
        self.shards[i].answers = <waf_answer *>at
        self.shards[i].questions = <waf_question *>(at + groups * WAYS * sizeof(waf_answer))
    return self


cdef void answers_free(waf_answers *self) noexcept nogil:
    if self == NULL:
        return
    if self.memory != NULL:
        memory_release(self.memory, self.bytes)
    free(self.shards)
    free(self)


cdef void answers_stats(waf_answers *self, waf_answers_stats *out) noexcept nogil:
    cdef uint32_t i
    memset(out, 0, sizeof(waf_answers_stats))
    for i in range(SHARDS):
        spin_lock(&self.shards[i].lock)
        out.answers += self.shards[i].live
        out.evicted += self.shards[i].evicted
        out.asked += self.shards[i].asked
        out.dropped += self.shards[i].dropped
        spin_unlock(&self.shards[i].lock)
    out.max_answers = <uint64_t>SHARDS * WAYS * (self.group_mask + 1)


cdef inline waf_answer_shard *shard_of(waf_answers *self, const key_digest *digest) noexcept nogil:
    return &self.shards[digest.hi & (SHARDS - 1)]


cdef inline waf_answer *group_of(waf_answers *self, waf_answer_shard *shard, const key_digest *digest) noexcept nogil:
    return &shard.answers[(<uint32_t>digest.lo & self.group_mask) * WAYS]


cdef waf_answer *known(waf_answer *group, const key_digest *digest) noexcept nogil:
    cdef uint32_t i
    for i in range(WAYS):
        if group[i].used and group[i].digest.lo == digest.lo and group[i].digest.hi == digest.hi:
            return &group[i]
    return NULL


cdef inline bint is_worse(const waf_answer *a, const waf_answer *b, int64_t now_ms) noexcept nogil:
    """Would one rather give up a than b?"""
    cdef bint over = now_ms >= a.until_ms
    if over != (now_ms >= b.until_ms):
        return over
    if (a.address == 0) != (b.address == 0):
        return a.address == 0
    return a.until_ms < b.until_ms


cdef waf_answer *made(waf_answer_shard *shard, waf_answer *group, const key_digest *digest, int64_t now_ms) noexcept nogil:
    cdef waf_answer *worst = &group[0]
    cdef uint32_t i
    for i in range(WAYS):
        if not group[i].used:
            worst = &group[i]
            break
        if is_worse(&group[i], worst, now_ms):
            worst = &group[i]
    if worst.used:
        shard.evicted += now_ms < worst.until_ms
    else:
        shard.live += 1
    memset(worst, 0, sizeof(waf_answer))
    worst.used = 1
    worst.digest = digest[0]
    return worst


cdef bint ask(waf_answer_shard *shard, const key_digest *digest, rl_view name, uint32_t service) noexcept nogil:
    cdef waf_question *question
    if shard.head - shard.tail == ANSWER_QUESTIONS:
        shard.dropped += 1
        return False
    question = &shard.questions[shard.head & (ANSWER_QUESTIONS - 1)]
    question.digest = digest[0]
    question.size = <unsigned char>name.size
    question.service = <unsigned char>service
    memcpy(question.name, name.data, name.size)
    shard.head += 1
    shard.asked += 1
    return True


cdef uint32_t answers_find(
    waf_answers *self, const key_digest *digest, rl_view name, uint32_t service, int64_t now_ms, bint look) noexcept nogil:
    cdef waf_answer_shard *shard = shard_of(self, digest)
    cdef waf_answer *group = group_of(self, shard, digest)
    cdef waf_answer *answer
    cdef uint32_t address = 0
    spin_lock(&shard.lock)
    answer = known(group, digest)
    if answer != NULL and (now_ms < answer.until_ms or now_ms < answer.over_ms + ANSWER_STALE_MS):
        address = answer.address
    if not look and name.size <= ANSWER_NAME and (answer == NULL or now_ms >= answer.until_ms) and ask(shard, digest, name, service):
        if answer == NULL:
            answer = made(shard, group, digest, now_ms)
        answer.address = address
        answer.until_ms = now_ms + ANSWER_PATIENCE_MS
    spin_unlock(&shard.lock)
    return address


cdef void answers_put(waf_answers *self, const key_digest *digest, uint32_t address, int64_t now_ms, int64_t for_ms) noexcept nogil:
    cdef waf_answer_shard *shard = shard_of(self, digest)
    cdef waf_answer *group = group_of(self, shard, digest)
    cdef waf_answer *answer
    spin_lock(&shard.lock)
    answer = known(group, digest)
    if answer == NULL:
        answer = made(shard, group, digest, now_ms)
    answer.address = address
    answer.until_ms = answer.over_ms = now_ms + for_ms
    spin_unlock(&shard.lock)


cdef bint answers_take(waf_answers *self, waf_question *out) noexcept nogil:
    cdef waf_answer_shard *shard
    cdef uint32_t i
    for i in range(SHARDS):
        self.turn = (self.turn + 1) % SHARDS
        shard = &self.shards[self.turn]
        spin_lock(&shard.lock)
        if shard.head != shard.tail:
            out[0] = shard.questions[shard.tail & (ANSWER_QUESTIONS - 1)]
            shard.tail += 1
            spin_unlock(&shard.lock)
            return True
        spin_unlock(&shard.lock)
    return False
