# A verdict before anything has objected, and the first objection.
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memset

from ratelimitd._ext.core cimport RL_DENY, rl_verdict


cdef inline void verdict_begin(rl_verdict *verdict) noexcept nogil:
    """Everything but the arrays, whose counts are 0."""
    memset(verdict, 0, <size_t>(<char *>&verdict.states[0] - <char *>verdict))
    verdict.status = 200
    verdict.deciding_state = verdict.deciding_match = verdict.tightest_state = -1


cdef inline void verdict_deny(rl_verdict *verdict, uint8_t reason, uint16_t status) noexcept nogil:
    verdict.decision = RL_DENY
    verdict.reason = reason
    verdict.status = status
