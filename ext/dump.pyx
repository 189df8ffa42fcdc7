"""The snapshot in a form that a person can read: what the engine really runs, not what the policy says."""
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.window cimport window_length
from ratelimitd._ext.match.matcher cimport rl_matcher, rl_matcher_dump
from ratelimitd._ext.snapshot cimport Snapshot, snapshot_domain, snapshot_limit, snapshot_list, snapshot_penalty, snapshot_profile
from ratelimitd._ext.waf.build cimport waf_databases

ALGORITHMS = ("sliding_window", "fixed_window", "token_bucket")
MODES = ("off", "detect", "block")


def dump(Snapshot self):
    """Text; one paragraph a domain."""
    cdef uint32_t index
    lines = [f"generation {self.data.generation}, {self.data.domain_count} domains"]
    for index in range(self.data.domain_count):
        _domain(&self.data.domains[index], lines)
    return "\n".join(lines) + "\n"


cdef _domain(const snapshot_domain *domain, list lines):
    cdef uint32_t index
    lines.append(f"domain {_text(domain.name)}{' (shadow)' if domain.shadow else ''}")
    for index in range(domain.list_count):
        _list(&domain.lists[index], domain.list_matcher, index, lines)
    for index in range(domain.limit_count):
        _limit(&domain.limits[index], domain.limit_matcher, index, lines)
    for index in range(domain.penalty_count):
        _penalty(&domain.penalties[index], domain.penalty_matcher, index, lines)
    lines.append(f"  scan {MODES[domain.scan.mode]}")
    for index in range(domain.scan.profile_count):
        lines.append(_profile(&domain.scan.profiles[index], index))


cdef _list(const snapshot_list *entry, const rl_matcher *matcher, uint32_t index, list lines):
    action = "deny" if entry.deny else "allow"
    lines.append(f"  list {_text(entry.name)}: {action}{' (shadow)' if entry.shadow else ''}, slot {entry.slot}{_match(matcher, index)}")


cdef _limit(const snapshot_limit *limit, const rl_matcher *matcher, uint32_t index, list lines):
    identity = (<bytes>(<const char *>limit.identity)[:16]).hex()
    rate = "unlimited" if limit.rate.unlimited else f"{limit.rate.rule.limit} in {window_length(&limit.rate.rule)} ms"
    lines.append(
        f"  limit {_text(limit.name)}: {rate}, {ALGORITHMS[limit.rate.rule.algorithm]}"
        f"{' (shadow)' if limit.shadow else ''}, {limit.key_count} key parts, cost {limit.cost}, score cost {limit.score_cost}, slot {limit.slot}, "
        f"identity {identity}{_match(matcher, index)}"
    )


cdef _penalty(const snapshot_penalty *penalty, const rl_matcher *matcher, uint32_t index, list lines):
    cdef uint32_t turn
    steps = ", ".join(str(penalty.steps[turn]) for turn in range(penalty.step_count))
    lines.append(
        f"  penalty {_text(penalty.name)}: bans for {steps} ms{' (shadow)' if penalty.shadow else ''}, {penalty.key_count} key parts, "
        f"{penalty.trigger_count} triggers, forgives in {penalty.forgive_ms} ms, slot {penalty.slot}{_match(matcher, index)}"
    )


cdef str _profile(const snapshot_profile *profile, uint32_t index):
    return (
        f"    profile {index}: {profile.program.link_count} links, {profile.program.batch_count} scanned for, "
        f"{waf_databases(profile.program)} databases, body up to {profile.body_limit} bytes"
    )


cdef str _match(const rl_matcher *matcher, uint32_t index):
    cdef char text[1024]
    cdef size_t size
    if matcher == NULL:
        return ""
    size = min(rl_matcher_dump(matcher, index, text, sizeof(text)), sizeof(text))
    return ", when " + text[:size].decode("utf-8", "replace").rstrip("\0")


cdef str _text(rl_view view):
    return view.data[:view.size].decode("utf-8", "replace") if view.size else ""
