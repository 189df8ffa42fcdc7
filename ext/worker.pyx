"""Workers: what each of them owns, and how it pins the snapshot for a turn."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ratelimitd._ext.core cimport rl_load_pointer, rl_store_pointer
from ratelimitd._ext.events cimport ring_free, ring_init
from ratelimitd._ext.match.attributes cimport rl_attributes_free, rl_attributes_new
from ratelimitd._ext.match.matcher cimport rl_match_scratch_free, rl_match_scratch_new, rl_match_scratch_prepare
from ratelimitd._ext.snapshot cimport snapshot, snapshot_domain, snapshot_scan
from ratelimitd._ext.waf.transaction cimport waf_scratch_free, waf_scratch_new, waf_scratch_prepare


cdef check_worker *worker_new(uint64_t seed) noexcept nogil:
    cdef check_worker *self = <check_worker *>calloc(1, sizeof(check_worker))
    if self == NULL:
        return NULL
    self.random = seed | 1
    self.until_sample = 1
    self.attributes = rl_attributes_new()
    self.match_scratch = rl_match_scratch_new()
    self.counts = <uint64_t *>calloc(COUNT_SLOTS * COUNT_KINDS, sizeof(uint64_t))
    self.rule_matches = <uint64_t *>calloc(RULE_SLOTS, sizeof(uint64_t))
    if ring_init(&self.ring) != 0 or self.counts == NULL or self.rule_matches == NULL or self.attributes == NULL or self.match_scratch == NULL:
        worker_free(self)
        return NULL
    return self


cdef void worker_free(check_worker *self) noexcept nogil:
    if self == NULL:
        return
    if self.attributes != NULL:
        rl_attributes_free(self.attributes)
    if self.match_scratch != NULL:
        rl_match_scratch_free(self.match_scratch)
    waf_scratch_free(self.waf)
    free(self.counts)
    free(self.rule_matches)
    ring_free(&self.ring)
    free(self)


cdef int _prepare_scan(check_worker *self, const snapshot_scan *scan) noexcept nogil:
    cdef uint32_t index
    if scan.profile_count and self.waf == NULL:
        self.waf = waf_scratch_new()
        if self.waf == NULL:
            return -1
    for index in range(scan.profile_count):
        if waf_scratch_prepare(self.waf, scan.profiles[index].program) != 0:
            return -1
    return 0


cdef int _prepare(check_worker *self, const snapshot *snap) noexcept nogil:
    """Makes the scratches fit a snapshot that this worker meets for the first time. The only allocation of a reload on a worker."""
    cdef uint32_t index
    cdef const snapshot_domain *domain
    for index in range(snap.domain_count):
        domain = &snap.domains[index]
        if domain.list_matcher != NULL and rl_match_scratch_prepare(self.match_scratch, domain.list_matcher) != 0:
            return -1
        if domain.limit_matcher != NULL and rl_match_scratch_prepare(self.match_scratch, domain.limit_matcher) != 0:
            return -1
        if domain.penalty_matcher != NULL and rl_match_scratch_prepare(self.match_scratch, domain.penalty_matcher) != 0:
            return -1
        if domain.scan.routes != NULL and rl_match_scratch_prepare(self.match_scratch, domain.scan.routes) != 0:
            return -1
        if _prepare_scan(self, &domain.scan) != 0:
            return -1
    return 0


# A hazard pointer: what `pinned` names is not freed. The second look catches a swap between the load and the store.
cdef void worker_enter(void *shared, uint32_t worker) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    cdef check_worker *mine = self.workers[worker]
    cdef void *current = rl_load_pointer(<void **>&self.current)
    while True:
        rl_store_pointer(<void **>&mine.pinned, current)
        if rl_load_pointer(<void **>&self.current) == current:
            break
        current = rl_load_pointer(<void **>&self.current)
    if current != NULL and (<snapshot *>current).generation != mine.prepared:
        mine.broken = _prepare(mine, <snapshot *>current) != 0
        mine.prepared = (<snapshot *>current).generation


cdef void worker_leave(void *shared, uint32_t worker) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    rl_store_pointer(<void **>&self.workers[worker].pinned, NULL)
