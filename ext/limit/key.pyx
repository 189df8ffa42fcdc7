cdef void key_hash(const key_secret *secret, const void *data, size_t size, key_digest *out) noexcept nogil:
    out.lo = secret.k0
    out.hi = secret.k1
