# What we use of hs.h (Hyperscan or Vectorscan 5.4).
cdef extern from "hs.h" nogil:
    ctypedef struct hs_database_t:
        pass

    ctypedef struct hs_scratch_t:
        pass

    ctypedef struct hs_platform_info_t:
        unsigned int tune
        unsigned long long cpu_features

    ctypedef struct hs_compile_error_t:
        char *message
        int expression

    ctypedef int hs_error_t
    ctypedef int (*match_event_handler)(unsigned int id, unsigned long long start, unsigned long long end, unsigned int flags, void *context) noexcept

    enum:
        HS_SUCCESS
        HS_NOMEM
        HS_FLAG_CASELESS
        HS_FLAG_DOTALL
        HS_FLAG_SINGLEMATCH
        HS_MODE_BLOCK

    const char *hs_version()
    hs_error_t hs_compile_multi(
        const char *const *expressions, const unsigned int *flags, const unsigned int *ids, unsigned int elements, unsigned int mode,
        const hs_platform_info_t *platform, hs_database_t **db, hs_compile_error_t **error)
    hs_error_t hs_free_compile_error(hs_compile_error_t *error)
    hs_error_t hs_free_database(hs_database_t *db)
    hs_error_t hs_database_size(const hs_database_t *db, size_t *size)
    hs_error_t hs_serialize_database(const hs_database_t *db, char **bytes, size_t *length)
    hs_error_t hs_deserialize_database(const char *bytes, size_t length, hs_database_t **db)
    hs_error_t hs_alloc_scratch(const hs_database_t *db, hs_scratch_t **scratch)
    hs_error_t hs_free_scratch(hs_scratch_t *scratch)


cdef extern from "scan/vector.h" nogil:
    hs_error_t hs_platform "rl_hs_platform"(hs_platform_info_t *platform)
    hs_error_t hs_scan "rl_hs_scan"(
        const hs_database_t *db, const char *data, unsigned int length, unsigned int flags, hs_scratch_t *scratch,
        match_event_handler handler, void *context)
