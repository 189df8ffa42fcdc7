cdef extern from "limit/siphash.h" namespace "rl" nogil:
    void siphash_1_3 "rl::siphash128<1, 3>"(uint64_t k0, uint64_t k1, const void *data, size_t size,
                                            uint64_t *lo, uint64_t *hi) noexcept


cdef void key_hash(const key_secret *secret, const void *data, size_t size, key_digest *out) noexcept nogil:
    siphash_1_3(secret.k0, secret.k1, data, size, &out.lo, &out.hi)
