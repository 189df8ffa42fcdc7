# The 16-byte digest of (limit identity, key text): SipHash-1-3 with 128 bits of output under a secret key, so that nobody can
# craft two keys that share a counter. Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
from libc.stdint cimport uint64_t


cdef extern from "limit/siphash.h" namespace "rl" nogil:
    void siphash_1_3 "rl::siphash128<1, 3>"(uint64_t k0, uint64_t k1, const void *data, size_t size,
                                            uint64_t *lo, uint64_t *hi) noexcept


cdef struct key_secret:
    uint64_t k0
    uint64_t k1


cdef struct key_digest:
    uint64_t lo
    uint64_t hi


# data: size bytes, already prefixed by the 16-byte limit identity.
cdef inline void key_hash(const key_secret *secret, const void *data, size_t size, key_digest *out) noexcept nogil:
    siphash_1_3(secret.k0, secret.k1, data, size, &out.lo, &out.hi)
