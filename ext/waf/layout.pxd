# The structs behind a program and a transaction.
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.bytes.pcre cimport rl_pcre, rl_pcre_scratch
from ratelimitd._ext.bytes.inflate cimport rl_inflater
from ratelimitd._ext.bytes.operators cimport rl_byte_set, rl_ip_range
from ratelimitd._ext.core cimport rl_request, rl_view
from ratelimitd._ext.limit.key cimport key_digest, key_secret
from ratelimitd._ext.scan.arena cimport scan_arena
from ratelimitd._ext.waf.answers cimport waf_answers
from ratelimitd._ext.waf.maxminddb cimport MMDB_s
from ratelimitd._ext.waf.records cimport waf_records
from ratelimitd._ext.scan.hs cimport hs_database_t, hs_scratch_t
from ratelimitd._ext.scan.shared cimport shared_item

cdef enum:
    WAF_LITERAL = 0xffff      # a text part that stands for itself
    WAF_CAPTURES = 10         # TX:0 to TX:9 are the first slots of the store
    WAF_CHAINS = 64           # distinct transformation chains that are scanned together: a bit each
    WAF_PHASES = 5
    WAF_SEEN = 4096           # strings of one transaction that are remembered, a power of two
    WAF_FIELDS = 16384        # fields of one transaction
    WAF_HITS = 8192
    WAF_MATCHED = 512         # MATCHED_VARS
    WAF_REMOVALS = 64         # ctl:ruleRemoveTarget* of one transaction
    WAF_DYNAMIC = 4096        # TX names that no rule spells out, a power of two; half of them can be used
    WAF_FIRED = 128
    WAF_BUDGET_FACTOR = 64    # bytes of memory that a transaction may take for each byte of it
    WAF_TOLD = 4096           # values that matched, of one trace
    WAF_COLLECTIONS = 5       # WAF_IP to WAF_RESOURCE
    WAF_PLACE_NAMES = 9       # what @geoLookup fills in of GEO

# What became of a rule, for who asks why.
cdef enum:
    WAF_UNREACHED = 0
    WAF_PASSED = 1            # it had its turn and did not match
    WAF_BROKEN = 2            # it matched, a link of its chain did not
    WAF_SKIPPED = 3           # skipAfter
    WAF_REMOVED = 4           # ctl:ruleRemove*
    WAF_DONE = 5              # it fired


# ---- the program: read-only, shared by the workers

# A variable of the store.
cdef struct waf_value:
    rl_view text
    int64_t number
    uint8_t set, has_text, has_number


# %{...}, or literal bytes.
cdef struct waf_part:
    uint16_t variable      # or WAF_LITERAL
    int32_t slot           # of the store; -1: no constant name
    uint32_t name_id
    rl_view name           # or the literal


cdef struct waf_text:
    const waf_part *parts
    uint32_t count


cdef struct waf_selector:
    uint16_t variable
    uint8_t count
    int32_t slot           # of the store, for a constant name; -1
    uint32_t name_id       # of the program's names; 0: all names
    rl_view name
    const rl_pcre *regex  # or NULL


cdef struct waf_set:
    uint16_t variable      # the collection
    uint8_t change
    uint8_t score          # what is added counts as the rule's score
    int32_t slot           # -1: the name is made when it runs
    waf_text name          # with its collection: "tx.x"
    waf_text value


cdef struct waf_ctl:
    uint8_t control
    int32_t value
    const uint64_t *rules  # bit set of links, or NULL
    waf_selector selector


cdef struct waf_networks:
    uint32_t count
    const rl_ip_range *ranges


cdef struct waf_link:
    uint32_t rule
    uint8_t phase, op, negated, multi_match, capture, chained, disruption, log
    uint8_t first          # of its chain
    uint8_t of_response    # what it keeps for later requests, it keeps when a response is inspected; else when the request is checked
    uint8_t once           # the first value that matches is enough
    uint8_t batched        # its matches are found by scanning; else it is evaluated in its turn
    int8_t severity
    uint16_t status
    uint32_t batch         # index among the batched links
    uint32_t step_count
    const uint8_t *steps   # transformations
    uint32_t selector_count, exclude_count, set_count, ctl_count
    const waf_selector *selectors
    const waf_selector *excludes
    const waf_set *sets
    const waf_ctl *ctls
    waf_text argument
    int64_t number         # of a constant argument
    const rl_pcre *regex  # RX
    const waf_networks *networks   # IP_MATCH
    const rl_byte_set *bytes       # VALIDATE_BYTE_RANGE
    shared_item *phrases           # PHRASES, when not batched: a database
    uint32_t skip_to       # 0: no skip
    rl_view id             # the rule's id as text


# A transformation in the trie of the chains that are scanned, in pre-order. Node 0 is the value as it came.
cdef struct waf_node:
    uint32_t kind
    uint32_t depth
    uint32_t end           # index behind the subtree
    uint32_t classes       # byte classes without which this step changes nothing
    uint32_t classes_below # ... without which nothing in the subtree does
    int32_t chain          # the chain that ends here, or -1
    uint64_t chains        # all chains of the subtree


# A link that wants to know of an expression, when the string came from that chain.
cdef struct waf_use:
    uint32_t link
    uint32_t batch
    uint32_t chain


# What a pattern of a database stands for.
cdef struct waf_row:
    uint16_t expression
    uint8_t exact                # a hit is a match; else PCRE2 must confirm


# One database: scanned over a string without its erased bytes, if the string has one that it needs.
cdef struct waf_lane:
    const hs_database_t *database
    shared_item *shared          # owns it
    const waf_row *rows          # by the database's ids
    uint32_t needs               # bits of the group's table, of which a string must have one; 0: none
    const uint8_t *erased        # by byte: is it left out? NULL: none is


# The lanes for strings of an alphabet.
cdef struct waf_step:
    uint32_t outside             # the bit of the group's table that bytes outside the alphabet have
    uint32_t lane_count
    waf_lane *lanes


# Expressions that are looked for together; the last two are libinjection's.
cdef struct waf_group:
    uint32_t step_count
    waf_step *steps              # the first whose alphabet holds a string is taken; the last holds all
    uint16_t table[256]          # by byte: bits of the alphabets that lack it and of the needs that it meets
    uint32_t expressions         # with libinjection's two
    const uint64_t *ungated      # bit set: what may match any string
    const uint32_t *first_use    # expressions + 1 indices into uses
    const waf_use *uses
    const rl_pcre **confirm      # by expression; NULL: every hit is a match
    const uint64_t *empty        # what matches the empty string


# The links that look at a field.
cdef struct waf_slot:
    int32_t group                # -1: none
    uint32_t classes             # byte classes without which no chain changes a value
    uint64_t chains
    uint64_t sqli, xss           # chains whose strings libinjection is asked about
    const uint64_t *batch        # bit set of batched links


# What is scanned of a source: values by name, and names.
cdef struct waf_source:
    const waf_slot *values       # by name_id when `named`, else one for all
    const waf_slot *names        # the same
    uint8_t wanted, named
    uint8_t read                 # a selector or a text names it, scanned or not


cdef struct waf_name:
    rl_view name                 # lower-case
    uint32_t id


cdef struct waf_range:
    uint32_t first, end


cdef struct waf_program:
    scan_arena memory
    uint32_t link_count, batch_count, node_count, group_count, store_count, name_count, name_mask
    uint32_t most_expressions, most_depth
    const waf_link *links
    uint32_t phases[6]           # first link of each phase 1 to 5; the end
    const uint64_t *direct       # bit set: first links that are evaluated in their turn
    const waf_node *nodes
    waf_group *groups
    waf_source sources[32]       # WAF_SOURCES
    const waf_name *names        # open addressing; id 0: free
    const rl_view *store_names
    const waf_name *store_index  # open addressing over store names: id is slot + 1
    uint32_t store_mask
    const waf_value *initial     # store_count
    waf_range collection_slots[5]   # WAF_COLLECTIONS: where their variables are in the store
    uint32_t collection_timeout  # seconds
    rl_view application
    MMDB_s *places               # of @geoLookup, or NULL
    rl_view blocklist_key        # of httpBL
    int32_t place_slots[9]       # WAF_PLACE_NAMES: where GEO's variables are in the store
    shared_item **regexes
    uint32_t regex_count
    int32_t score_slot           # holds the anomaly score, or -1: the sum of the rules'
    int32_t response_score_slot  # the same of a response
    uint8_t engine, body_access, every_reading
    uint8_t response_access, response_reject   # response_reject: a response that is longer than response_limit is denied
    uint32_t response_limit      # bytes; 0: the caller's
    uint32_t response_type_count
    const rl_view *response_types   # content types whose bodies are looked at, lower-case; an empty one: none was said
    uint32_t json_depth, arguments_max
    rl_view dump


# ---- a transaction

# Where and when a transaction runs.
cdef struct waf_moment:
    int64_t now_ms               # since the epoch
    rl_view domain
    rl_view client               # the client's address; empty: the peer's
    waf_records *records         # what is kept between requests; NULL: nothing is
    const key_secret *secret     # of the records' and the answers' keys
    waf_answers *answers         # of blocklists; NULL: nobody is listed
    uint8_t dry_run              # looks at the records and changes none


# A collection of the transaction. What its record holds is copied to the store when somebody looks at it; changes go to both.
cdef struct waf_collection:
    rl_view key
    key_digest digest
    uint8_t bound                # it has a key
    uint8_t waiting              # nobody has looked at it yet
    uint8_t changed              # by this transaction


cdef struct waf_field:
    rl_view name
    rl_view value
    uint32_t name_id
    uint32_t next                # index + 1 of the source's next field; 0: none


# The fields of a source, as a list.
cdef struct waf_fields:
    uint32_t first, last         # index + 1


# A value of a link's target.
cdef struct waf_item:
    uint16_t variable            # WAF_LITERAL: no item at all
    rl_view name                 # empty: the variable has one value
    rl_view value


cdef struct waf_hit:
    uint32_t next                # index + 1 of the link's next hit; 0: none
    uint32_t field
    uint16_t source
    uint8_t is_name
    rl_view text


# A distinct result of a value's chains.
cdef struct waf_string:
    rl_view text
    uint32_t classes
    uint64_t hash
    uint64_t chains


# A string that was scanned in this transaction, and what matched.
cdef struct waf_seen:
    uint32_t round
    int32_t group
    uint64_t hash
    rl_view text
    uint64_t *hits               # bit sets of expressions: what matches, behind it what may; NULL: none
    uint8_t asked                # 1: SQLi, 2: XSS


cdef struct waf_dynamic:
    uint32_t round
    uint64_t hash
    rl_view name
    waf_value value


cdef struct waf_removal:
    const uint64_t *rules
    const waf_selector *selector


cdef struct waf_fired:
    uint32_t link
    uint32_t score
    waf_item item                # the last that matched; none for an action without conditions


# What a transaction came to.
cdef struct waf_result:
    uint32_t score
    uint32_t fired_count         # at most WAF_FIRED; `fired_more` beyond
    uint32_t fired_more
    int32_t deciding             # index into fired of the rule that denied, or -1
    uint16_t status
    uint8_t denied               # would deny; the caller knows the mode
    uint8_t inspected_all
    uint8_t error                # a bound was hit: what was looked at still counts
    uint64_t bytes_inspected
    waf_fired fired[128]         # WAF_FIRED


# A value that made a rule fire.
cdef struct waf_told:
    uint32_t link
    waf_item item


# What happens to each rule of a transaction, by its first link.
cdef struct waf_trace:
    uint8_t *fates
    uint32_t *values             # that the link which did not match looked at
    uint32_t *broken             # which link of the chain that is
    uint32_t *scores
    waf_told *told               # WAF_TOLD
    uint32_t told_count


cdef struct waf_scratch:
    hs_scratch_t *hs
    rl_pcre_scratch *pcre
    rl_inflater *inflater
    scan_arena memory
    # Room, by the largest program.
    waf_string *strings
    uint32_t *trail
    uint64_t *hit_words
    uint64_t *pending            # bit set of first links to run: direct ones and those with hits
    uint64_t *removed            # bit set of links
    uint32_t *hit_first          # by link: index + 1 of its first hit
    uint32_t *hit_last
    waf_value *store
    uint32_t nodes, depth, words, links, last_links, pending_words, removed_words, stores   # what the arrays have room for
    uint32_t round
    waf_seen seen[4096]          # WAF_SEEN
    waf_dynamic dynamic[4096]    # WAF_DYNAMIC
    uint32_t dynamic_order[2048] # in the order in which they were made
    uint32_t dynamic_count
    waf_field fields[16384]      # WAF_FIELDS
    waf_fields sources[32]       # WAF_SOURCES
    uint32_t field_count
    waf_hit hits[8192]           # WAF_HITS
    uint32_t hit_count
    waf_item matched[512]        # WAF_MATCHED
    uint32_t matched_count
    waf_removal removals[64]     # WAF_REMOVALS
    uint32_t removal_count
    waf_trace *trace             # NULL: nobody asks why
    # The running transaction.
    const waf_program *program
    const rl_request *request
    waf_result *out
    uint8_t hit, engine, phase, processor, force_body, body_access, body_error, url_error, stopped, stop_phase
    uint8_t allowed              # ... for the whole transaction, the response too
    uint8_t response_cut
    uint32_t multipart           # RL_FORM_DATA_*
    uint8_t unmatched_boundary
    rl_view body_error_text
    uint32_t argument_count, arguments_size, files_size, body_size, response_size
    const waf_moment *moment
    waf_collection collections[5]   # WAF_COLLECTIONS
    uint8_t answering            # a response is inspected
    int64_t zone_until_s         # until then, since the epoch, the clock on the wall is zone_s ahead of UTC
    int64_t zone_s
    uint32_t rule_score          # of the running rule
