from ratelimitd._ext.limit.key cimport key_digest, key_hash, key_secret

def smoke():
    cdef key_secret s
    cdef key_digest d
    s.k0 = 1
    s.k1 = 2
    key_hash(&s, NULL, 0, &d)
    return d.lo, d.hi
