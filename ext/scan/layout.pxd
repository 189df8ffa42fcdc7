# The structs behind a program and a scratch.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_rule_match, rl_view
from ratelimitd._ext.scan.arena cimport scan_arena
from ratelimitd._ext.scan.database cimport shared_database
from ratelimitd._ext.scan.hs cimport hs_database_t, hs_scratch_t


# plan.Target
cdef enum:
    TARGET_METHOD = 0
    TARGET_PATH = 1
    TARGET_QUERY = 2
    TARGET_ARGS = 3
    TARGET_ARGS_NAMES = 4
    TARGET_HEADERS = 5
    TARGET_HEADERS_NAMES = 6
    TARGET_COOKIES = 7
    TARGET_COOKIES_NAMES = 8
    TARGET_BODY = 9
    TARGET_HOST = 10
    TARGET_FILES_NAMES = 11

cdef enum:
    SCAN_KINDS = 12        # targets
    SCAN_CHAINS = 64       # distinct transformation chains: a bit each
    SCAN_SEEN = 512        # strings of one scan that are remembered, a power of two


# A transformation in the trie of all chains, which is stored in pre-order. Node 0 is the root: the value as it came.
cdef struct scan_node:
    uint32_t kind          # plan.Transformation
    uint32_t depth
    uint32_t end           # index behind the subtree
    uint32_t classes       # byte classes without which this step changes nothing
    uint32_t classes_below # ... without which nothing in the subtree does
    int32_t chain          # the chain that ends here, or -1
    uint64_t chains        # all chains of the subtree


# A rule that wants to know of an expression, when the string came from that chain.
cdef struct scan_use:
    uint32_t rule
    uint32_t chain


# One database and who wants its matches.
cdef struct scan_lane:
    const hs_database_t *database
    shared_database *shared     # owns it
    uint32_t expressions
    const uint32_t *first_use   # expressions + 1 indices into uses
    const scan_use *uses


# The fields of a target kind that the same rules look at.
cdef struct scan_slot:
    int32_t lane           # -1: nobody looks
    uint32_t classes       # byte classes without which no chain changes a value
    uint64_t chains
    const uint64_t *rules  # bit set


cdef struct scan_name:
    rl_view name           # lower-case
    uint32_t slot


cdef struct scan_kind:
    uint8_t wanted
    uint32_t name_count
    uint32_t name_mask     # size of names - 1, a power of two at most half full
    const scan_name *names # open addressing; slot 0: free
    const scan_slot *slots # slots[0]: fields that no rule names


cdef struct scan_rule:
    rl_view id
    uint32_t score
    uint8_t deny


cdef struct scan_program:
    scan_arena memory
    uint32_t rule_count, node_count, lane_count, most_expressions, most_depth
    const scan_rule *rules
    const scan_node *nodes
    scan_lane *lanes
    scan_kind kinds[12]
    rl_view dump           # for people


# A distinct result of a value's chains.
cdef struct scan_string:
    rl_view text
    uint32_t classes
    uint64_t hash
    uint64_t chains


# A string that was scanned in this round, and what matched.
cdef struct scan_seen:
    uint32_t round
    int32_t lane
    uint64_t hash
    rl_view text
    const uint64_t *hits   # bit set of expressions; NULL: none


cdef struct scan_result:
    uint32_t score            # sum of the scores of the rules that fired, each once however many fields it matched
    uint32_t match_count      # at most RL_MAX_MATCHES; further ones only count into the score
    int32_t deny_match        # index into matches of the first rule with `deny`, or -1
    uint64_t bytes_inspected  # bytes of the body that were looked at
    uint8_t inspected_all
    uint8_t error             # a bound (work, depth, arguments) was hit: what was scanned is still reported
    rl_rule_match matches[32]


# Told of every value, as it came (chains 0), and of every string of it that is searched: the chains that made it and the
# expressions found in it, a bit set or NULL.
ctypedef void (*scan_watch)(
    void *watcher, const scan_slot *slot, uint32_t kind, rl_view name, rl_view text, uint64_t chains, const uint64_t *hits
) noexcept nogil


cdef struct scan_scratch:
    hs_scratch_t *hs
    scan_arena memory      # of the running scan
    scan_string *strings
    uint32_t *trail        # the string at each depth of the trie
    uint64_t *fired        # bit set of rules: in this scan
    uint64_t *firing       # ... on this string
    uint64_t *hits         # bit set of expressions
    uint32_t nodes, depth, rules, firing_rules, words   # what the arrays have room for
    uint32_t round
    scan_seen seen[512]    # SCAN_SEEN
    # The running scan.
    const scan_program *program
    scan_result *out
    scan_watch watch       # NULL: nobody asks why
    void *watcher
    uint8_t hit
