"""Builds the immutable snapshot from a plan. Runs in the control plane, under the interpreter lock except where something is compiled."""
from libc.stdint cimport UINT32_MAX, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.bytes.address cimport rl_network
from ratelimitd._ext.match.matcher cimport (
    rl_condition,
    rl_matcher,
    rl_matcher_alternative,
    rl_matcher_condition,
    rl_matcher_entry,
    rl_matcher_finish,
    rl_matcher_free,
    rl_matcher_new,
    rl_overrides,
    rl_overrides_add_exact,
    rl_overrides_add_glob,
    rl_overrides_add_network,
    rl_overrides_find,
    rl_overrides_finish,
    rl_overrides_free,
    rl_overrides_new,
)
from ratelimitd._ext.limit.window cimport WINDOW_FIXED, WINDOW_LONG, WINDOW_SLIDING
from ratelimitd._ext.waf.build cimport waf_build, waf_databases, waf_free
from ratelimitd._ext.waf.layout cimport waf_program

from dataclasses import replace
from hashlib import blake2b

from ratelimitd.errors import BadPattern, EngineError
from ratelimitd.policy.plan import ListAction, Op, OverrideKind

MAX_LIMITS = 1_000_000


cdef const snapshot_domain *snapshot_find(const snapshot *self, rl_view name) noexcept nogil:
    cdef int64_t index = 0 if self.default_domain and self.domain_count else -1
    if name.size:
        index = rl_overrides_find(self.domain_names, name, NULL)
    if index < 0:
        return NULL
    return &self.domains[index]


cdef class _Block:
    """Owns memory."""

    cdef void *data

    def __dealloc__(self):
        free(self.data)


cdef class _Matcher:
    """Owns an rl_matcher."""

    cdef rl_matcher *data

    def __cinit__(self):
        self.data = rl_matcher_new()
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        rl_matcher_free(self.data)


cdef class _Map:
    """Owns an rl_overrides: a map from keys or networks to numbers."""

    cdef rl_overrides *data

    def __cinit__(self):
        self.data = rl_overrides_new()
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        rl_overrides_free(self.data)

    cdef finish(self):
        if rl_overrides_finish(self.data) != 0:
            raise MemoryError


cdef class _Program:
    """Owns a waf_program; shared by all profiles with the same rules, of this snapshot and of the next."""

    cdef waf_program *data

    def __dealloc__(self):
        waf_free(self.data)


cdef class Snapshot:
    def __cinit__(self):
        self._blocks = []
        self._owners = []
        self._faults = []
        self.programs = {}
        self.databases = 0
        self.data = <snapshot *>self._allocate(1, sizeof(snapshot))

    cdef void *_allocate(self, size_t count, size_t size) except NULL:
        """Zeroed memory that lives as long as the snapshot."""
        cdef _Block block = _Block.__new__(_Block)
        block.data = calloc(count if count else 1, size)
        if block.data == NULL:
            raise MemoryError
        self._blocks.append(block)
        return block.data

    cdef rl_view _text(self, bytes text):
        """A view of text; the bytes object is kept alive."""
        cdef rl_view view
        self._blocks.append(text)
        view.data = text
        view.size = <uint32_t>len(text)
        return view


cdef Snapshot snapshot_build(object plan, object slot_of, dict programs, object cache_dir):
    cdef Snapshot self = Snapshot()
    cdef _Map names = _Map()
    cdef int index
    self.plan = plan
    self._owners.append(names)
    self.data.default_domain = plan.default_domain
    self.data.unknown_domain_deny = plan.unknown_domain_deny
    self.data.domain_count = <uint32_t>len(plan.domains)
    self.data.domains = <snapshot_domain *>self._allocate(len(plan.domains), sizeof(snapshot_domain))
    for index, domain in enumerate(plan.domains):
        _build_domain(self, &self.data.domains[index], domain, slot_of, programs, cache_dir)
        if rl_overrides_add_exact(names.data, self._text(domain.name), index) != 0:
            raise MemoryError
    if self._faults:
        raise EngineError(str(self._faults[0]), [pattern for fault in self._faults for pattern in fault.patterns])
    names.finish()
    self.data.domain_names = names.data
    return self


cdef _build_domain(Snapshot self, snapshot_domain *out, object domain, object slot_of, dict programs, object cache_dir):
    cdef int index
    cdef bytes identity
    if len(domain.limits) > MAX_LIMITS:
        raise EngineError(f"domain {domain.name.decode()}: {len(domain.limits)} limits, at most {MAX_LIMITS}")
    out.name = self._text(domain.name)
    out.slot = slot_of("domain", domain.name, b"")
    out.headers = int(domain.headers)
    out.shadow = domain.shadow
    out.all_or_none = domain.all_or_none
    out.always = domain.always
    out.answer_shadow = domain.answer_shadow
    identity = blake2b(domain.name, digest_size=16, person=b"descriptor").digest()
    memcpy(out.identity, <const char *>identity, 16)
    out.metadata = domain.metadata
    out.hash_keys = domain.log_keys == "hash"

    out.client.trusted = _networks(self, domain.client.trusted)
    out.client.trusted_count = <uint32_t>len(domain.client.trusted)
    out.client.hops = domain.client.hops
    out.client.header = self._text(domain.client.header)
    out.client.ipv4_prefix = domain.client.ipv4_prefix
    out.client.ipv6_prefix = domain.client.ipv6_prefix

    out.list_count = <uint32_t>len(domain.lists)
    out.lists = <snapshot_list *>self._allocate(out.list_count, sizeof(snapshot_list))
    for index, entry in enumerate(domain.lists):
        _build_list(self, &out.lists[index], domain, entry, slot_of)
    if any(entry.match.alternatives != ((),) for entry in domain.lists):
        out.list_matcher = _build_matcher(self, domain, [entry.match for entry in domain.lists])

    out.limit_count = <uint32_t>len(domain.limits)
    out.limits = <snapshot_limit *>self._allocate(out.limit_count, sizeof(snapshot_limit))
    for index, limit in enumerate(domain.limits):
        _build_limit(self, &out.limits[index], domain, limit, slot_of)
        out.replaces |= out.limits[index].replaces_count > 0
    if out.limit_count:
        out.limit_matcher = _build_matcher(self, domain, [limit.match for limit in domain.limits])

    out.penalty_count = <uint32_t>len(domain.penalties)
    out.penalties = <snapshot_penalty *>self._allocate(out.penalty_count, sizeof(snapshot_penalty))
    for index, penalty in enumerate(domain.penalties):
        _build_penalty(self, &out.penalties[index], domain, penalty, slot_of)
    if out.penalty_count:
        out.penalty_matcher = _build_matcher(self, domain, [penalty.match for penalty in domain.penalties])

    _build_scan(self, &out.scan, domain, slot_of, programs, cache_dir)


cdef _build_list(Snapshot self, snapshot_list *out, object domain, object entry, object slot_of):
    cdef _Map networks = _Map()
    cdef rl_network network
    for cidr in entry.cidrs:
        network = _network(cidr)
        if rl_overrides_add_network(networks.data, &network, 0) != 0:
            raise MemoryError
    networks.finish()
    self._owners.append(networks)
    out.networks = networks.data
    out.name = self._text(entry.name)
    out.slot = slot_of("list", domain.name, entry.name)
    out.status = entry.status
    out.deny = entry.action == ListAction.DENY
    out.shadow = entry.shadow or domain.shadow


cdef _build_limit(Snapshot self, snapshot_limit *out, object domain, object limit, object slot_of):
    cdef int index
    cdef bytes identity = limit.identity
    if len(identity) != 16:
        raise EngineError(f"limit {limit.name.decode()}: identity has {len(identity)} bytes, must have 16")
    if len(limit.key) > SNAPSHOT_MAX_KEY_PARTS:
        raise EngineError(f"limit {limit.name.decode()}: {len(limit.key)} key parts, at most {SNAPSHOT_MAX_KEY_PARTS}")
    out.name = self._text(limit.name)
    memcpy(out.identity, <const char *>identity, 16)
    _build_rate(self, &out.rate, limit, limit.rate)
    out.key_count = <uint32_t>len(limit.key)
    out.key = <snapshot_key_part *>self._allocate(out.key_count, sizeof(snapshot_key_part))
    for index, part in enumerate(limit.key):
        out.key[index].source = int(part.source)
        out.key[index].name = self._text(part.name)
    out.cost = limit.cost
    out.score_cost = limit.score_cost
    out.slot = slot_of("limit", domain.name, limit.name)
    out.status = limit.status
    out.shadow = limit.shadow or domain.shadow
    out.by_score = limit.by_score
    out.skip_missing_key = limit.skip_missing_key
    out.consistency = int(limit.consistency)
    out.on_loss = int(limit.on_store_loss)
    out.quota = limit.quota
    out.answer_name = self._text(limit.name if limit.answer_name is None else limit.answer_name)
    out.metadata = self._text(limit.metadata)
    out.replaces_count = <uint32_t>len(limit.replaces)
    out.replaces = <uint32_t *>self._allocate(out.replaces_count, sizeof(uint32_t))
    for index, number in enumerate(limit.replaces):
        if not 0 <= number < len(domain.limits):
            raise EngineError(f"limit {limit.name.decode()}: replaces limit {number} of {len(domain.limits)}")
        out.replaces[index] = number
    if limit.overrides:
        _build_overrides(self, out, limit)


cdef _build_penalty(Snapshot self, snapshot_penalty *out, object domain, object penalty, object slot_of):
    cdef int index
    cdef bytes identity = penalty.identity
    what = f"penalty {penalty.name.decode()}"
    if len(identity) != 16:
        raise EngineError(f"{what}: identity has {len(identity)} bytes, must have 16")
    if not 1 <= len(penalty.key) <= SNAPSHOT_MAX_KEY_PARTS:
        raise EngineError(f"{what}: {len(penalty.key)} key parts, must be 1 to {SNAPSHOT_MAX_KEY_PARTS}")
    if not 1 <= len(penalty.steps_ms) <= BAN_MAX_STEPS:
        raise EngineError(f"{what}: {len(penalty.steps_ms)} durations, must be 1 to {BAN_MAX_STEPS}")
    if len(penalty.triggers) > SNAPSHOT_MAX_TRIGGERS:
        raise EngineError(f"{what}: {len(penalty.triggers)} triggers, at most {SNAPSHOT_MAX_TRIGGERS}")
    out.name = self._text(penalty.name)
    memcpy(out.identity, <const char *>identity, 16)
    out.key_count = <uint32_t>len(penalty.key)
    out.key = <snapshot_key_part *>self._allocate(out.key_count, sizeof(snapshot_key_part))
    for index, part in enumerate(penalty.key):
        out.key[index].source = int(part.source)
        out.key[index].name = self._text(part.name)
    out.step_count = <uint32_t>len(penalty.steps_ms)
    for index, step in enumerate(penalty.steps_ms):
        out.steps[index] = step
    out.forgive_ms = penalty.forgive_ms
    out.slot = slot_of("penalty", domain.name, penalty.name)
    out.status = penalty.status
    out.shadow = penalty.shadow or domain.shadow
    out.trigger_count = <uint32_t>len(penalty.triggers)
    out.triggers = <snapshot_trigger *>self._allocate(out.trigger_count, sizeof(snapshot_trigger))
    for index, trigger in enumerate(penalty.triggers):
        _build_trigger(self, &out.triggers[index], domain, trigger)


cdef _build_trigger(Snapshot self, snapshot_trigger *out, object domain, object trigger):
    cdef int index
    out.denials.limit = trigger.denials
    out.score.limit = trigger.score
    out.denials.window_ms = out.score.window_ms = trigger.window_ms
    out.denials.algorithm = out.score.algorithm = WINDOW_SLIDING
    out.denials.buckets = out.score.buckets = 1
    out.limits_all = trigger.limits is None
    out.scan = trigger.scan
    out.limit_count = <uint32_t>len(trigger.limits or ())
    out.limits = <uint32_t *>self._allocate(out.limit_count, sizeof(uint32_t))
    for index, number in enumerate(trigger.limits or ()):
        if not 0 <= number < len(domain.limits):
            raise EngineError(f"domain {domain.name.decode()}: a penalty after limit {number} of {len(domain.limits)}")
        out.limits[index] = number


cdef _build_overrides(Snapshot self, snapshot_limit *out, object limit):
    cdef _Map overrides = _Map()
    cdef rl_network network
    cdef int index, code
    out.override_rates = <snapshot_rate *>self._allocate(len(limit.overrides), sizeof(snapshot_rate))
    for index, override in enumerate(limit.overrides):
        _build_rate(self, &out.override_rates[index], limit, override.rate)
        if override.kind == OverrideKind.EXACT:
            code = rl_overrides_add_exact(overrides.data, self._text(override.text), index)
        elif override.kind == OverrideKind.GLOB:
            code = rl_overrides_add_glob(overrides.data, self._text(override.text), index)
        else:
            network = _network(override.cidr)
            code = rl_overrides_add_network(overrides.data, &network, index)
        if code != 0:
            raise EngineError(f"limit {limit.name.decode()}: override {override.text.decode(errors='replace')!r} does not compile")
    overrides.finish()
    self._owners.append(overrides)
    out.overrides = overrides.data


cdef _build_rate(Snapshot self, snapshot_rate *out, object limit, object rate):
    out.rule.limit = rate.limit
    out.rule.algorithm = int(limit.algorithm)
    out.rule.buckets = limit.buckets
    if rate.window_ms > UINT32_MAX:
        if limit.algorithm != WINDOW_FIXED or rate.window_ms % WINDOW_LONG:
            raise EngineError(f"limit {limit.name.decode()}: a window of {rate.window_ms} ms")
        out.rule.buckets = WINDOW_LONG
    out.rule.window_ms = rate.window_ms // WINDOW_LONG if rate.window_ms > UINT32_MAX else rate.window_ms
    out.unlimited = rate.unlimited
    # Structured field: the name is a quoted string; policies restrict names to characters that need no escape. Windows are whole seconds there.
    seconds = max(1, -(-rate.window_ms // 1000))
    out.policy_item = self._text(b'"%b";q=%d;w=%d' % (limit.name, rate.limit, seconds))


cdef _build_scan(Snapshot self, snapshot_scan *out, object domain, object slot_of, dict programs, object cache_dir):
    cdef int index
    scan = domain.scan
    out.mode = int(scan.mode)
    if scan.routes:
        out.route_modes = <uint8_t *>self._allocate(len(scan.routes), 1)
        out.route_profiles = <uint32_t *>self._allocate(len(scan.routes), sizeof(uint32_t))
        for index, route in enumerate(scan.routes):
            if scan.profiles and not 0 <= route.profile < len(scan.profiles):
                raise EngineError(f"domain {domain.name.decode()}: a route to profile {route.profile} of {len(scan.profiles)}")
            out.route_modes[index] = int(route.mode)
            out.route_profiles[index] = route.profile
        out.routes = _build_matcher(self, domain, [route.match for route in scan.routes])
    out.profile_count = <uint32_t>len(scan.profiles)
    out.profiles = <snapshot_profile *>self._allocate(out.profile_count, sizeof(snapshot_profile))
    for index, profile in enumerate(scan.profiles):
        try:
            _build_profile(self, &out.profiles[index], domain, profile, slot_of, programs, cache_dir)
        except EngineError as error:
            if not error.patterns:
                raise
            self._faults.append(EngineError(str(error), [replace(bad, domain=domain.name) for bad in error.patterns]))


cdef _build_profile(Snapshot self, snapshot_profile *out, object domain, object profile, object slot_of, dict programs, object cache_dir):
    cdef _Program owner = _program_of(self, profile.program, programs, cache_dir)
    cdef uint32_t index
    out.program = owner.data
    out.body_limit = profile.body_limit
    out.status = profile.status
    out.deny_partial_body = profile.deny_partial_body
    out.rule_slots = <uint32_t *>self._allocate(owner.data.link_count, sizeof(uint32_t))
    for index in range(owner.data.link_count):
        if owner.data.links[index].first:
            out.rule_slots[index] = slot_of("rule", domain.name, owner.data.links[index].id.data[:owner.data.links[index].id.size])


cdef _Program _program_of(Snapshot self, object rules, dict programs, object cache_dir):
    cdef _Program owner = self.programs.get(id(rules))
    if owner is not None:
        return owner
    owner = programs.get(rules)
    if owner is None:
        owner = _Program()
        owner.data = waf_build(rules, cache_dir)
        programs[rules] = owner
    if owner not in self.programs.values():
        self._owners.append(owner)
        self.databases += waf_databases(owner.data)
    self.programs[id(rules)] = owner
    return owner


cdef rl_matcher *_build_matcher(Snapshot self, object domain, list matches) except NULL:
    cdef _Matcher matcher = _Matcher()
    cdef char error[512]
    cdef int code
    error[0] = 0
    for match in matches:
        if rl_matcher_entry(matcher.data) != 0:
            raise MemoryError
        for alternative in match.alternatives:
            if rl_matcher_alternative(matcher.data) != 0:
                raise MemoryError
            for condition in alternative:
                try:
                    _build_condition(matcher.data, condition)
                except EngineError as refusal:
                    bad = _bad_patterns(domain, condition)
                    if not bad:
                        raise
                    self._faults.append(EngineError(str(refusal), bad))
    with nogil:
        code = rl_matcher_finish(matcher.data, error, sizeof(error))
    if code != 0:
        raise EngineError((<bytes>error).decode(errors="replace"))
    self._owners.append(matcher)
    return matcher.data


cdef list _bad_patterns(object domain, object condition):
    """The operands of a regex condition that do not compile, each on its own."""
    cdef _Matcher matcher
    found = []
    for operand in condition.operands if condition.op == Op.REGEX else ():
        matcher = _Matcher()
        if rl_matcher_entry(matcher.data) != 0 or rl_matcher_alternative(matcher.data) != 0:
            raise MemoryError
        try:
            _build_condition(matcher.data, replace(condition, operands=(operand,)))
        except EngineError as error:
            found.append(BadPattern(operand, str(error), domain=domain.name))
    return found


cdef _build_condition(rl_matcher *matcher, object condition):
    """rl_matcher_condition copies, so memory of the moment will do."""
    cdef rl_condition native
    cdef Snapshot memory = Snapshot()
    cdef rl_view *operands = <rl_view *>memory._allocate(len(condition.operands), sizeof(rl_view))
    cdef char error[512]
    cdef int index, code
    error[0] = 0
    for index, operand in enumerate(condition.operands):
        operands[index] = memory._text(operand)
    native.source = int(condition.source)
    native.op = int(condition.op)
    native.name = memory._text(condition.name)
    native.operands = operands
    native.operand_count = <uint32_t>len(condition.operands)
    native.networks = _networks(memory, condition.cidrs)
    native.network_count = <uint32_t>len(condition.cidrs)
    native.negate = condition.negate
    native.ignore_case = condition.ignore_case
    with nogil:
        code = rl_matcher_condition(matcher, &native, error, sizeof(error))
    if code != 0:
        raise EngineError((<bytes>error).decode(errors="replace"))


cdef rl_network *_networks(Snapshot self, object cidrs) except NULL:
    cdef rl_network *out = <rl_network *>self._allocate(len(cidrs), sizeof(rl_network))
    cdef int index
    for index, cidr in enumerate(cidrs):
        out[index] = _network(cidr)
    return out


cdef rl_network _network(object cidr):
    cdef rl_network network
    cdef bytes address = cidr.address
    if len(address) != 16 or not 0 <= cidr.prefix <= 128:
        raise EngineError(f"bad network {cidr!r}")
    memcpy(network.address.bytes, <const char *>address, 16)
    network.prefix = cidr.prefix
    return network
