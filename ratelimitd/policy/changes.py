"""What going from one plan to another does to the counters and bans, in words."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimitd.policy.names import format_source
from ratelimitd.policy.plan import Algorithm, Domain, Limit, Penalty, Plan
from ratelimitd.policy.units import format_duration


@dataclass(frozen=True, slots=True)
class Change:
    """One limit or penalty. `kind`: "added", "removed", "reset" (its counters or bans begin anew), "changed" (they are
    kept) or "kept"."""

    kind: str
    domain: str
    limit: str
    because: str = ""
    penalty: bool = False  # `limit` is the name of one

    def __str__(self) -> str:
        because = f": {self.because}" if self.because else ""
        return f"{self.kind} {'penalty ' if self.penalty else ''}{self.domain}/{self.limit}{because}"


def compare(old: Plan, new: Plan) -> list[Change]:
    """Every limit and penalty of both, in the order of the new plan, then what is gone."""
    before = {domain.name: domain for domain in old.domains}
    after = {domain.name: domain for domain in new.domains}
    changes = [change for d in new.domains for change in compare_domain(before.get(d.name, Domain(d.name)), d)]
    for domain in old.domains:
        if domain.name not in after:
            changes += compare_domain(domain, Domain(domain.name))
    return changes


def compare_domain(old: Domain, new: Domain) -> list[Change]:
    name = new.name.decode()
    before = {limit.name: limit for limit in old.limits}
    names = {limit.name for limit in new.limits}
    changes = []
    for limit in new.limits:
        text = limit.name.decode()
        if limit.name not in before:
            changes.append(Change("added", name, text, describe(limit)))
        else:
            changes.append(compare_limit(name, before[limit.name], limit))
    changes += [Change("removed", name, limit.name.decode()) for limit in old.limits if limit.name not in names]
    return changes + compare_penalties(name, old, new)


def compare_penalties(domain: str, old: Domain, new: Domain) -> list[Change]:
    before = {penalty.name: penalty for penalty in old.penalties}
    names = {penalty.name for penalty in new.penalties}
    changes = []
    for penalty in new.penalties:
        text, known = penalty.name.decode(), before.get(penalty.name)
        if known is None:
            changes.append(Change("added", domain, text, penalty=True))
        elif known.identity != penalty.identity:
            because = f"key {key_text(known)} -> {key_text(penalty)}, its bans hold no longer"
            changes.append(Change("reset", domain, text, because, penalty=True))
        else:
            changes.append(Change("kept" if known == penalty else "changed", domain, text, penalty=True))
    gone = [penalty.name.decode() for penalty in old.penalties if penalty.name not in names]
    return changes + [Change("removed", domain, text, "its bans hold no longer", penalty=True) for text in gone]


def compare_limit(domain: str, old: Limit, new: Limit) -> Change:
    name = new.name.decode()
    if old.identity != new.identity:
        return Change("reset", domain, name, ", ".join(identity_differences(old, new)))
    if old == new:
        return Change("kept", domain, name)
    return Change("changed", domain, name, ", ".join(value_differences(old, new)))


def identity_differences(old: Limit, new: Limit) -> list[str]:
    """Why the counters cannot be kept."""
    told = []
    if old.key != new.key:
        told.append(f"key {key_text(old)} -> {key_text(new)}")
    if old.algorithm is not new.algorithm:
        told.append(f"algorithm {old.algorithm.name.lower()} -> {new.algorithm.name.lower()}")
    elif old.rate.window_ms != new.rate.window_ms:
        what = "time to fill" if new.algorithm is Algorithm.TOKEN_BUCKET else "window"
        told.append(f"{what} {format_duration(old.rate.window_ms)} -> {format_duration(new.rate.window_ms)}")
    if old.buckets != new.buckets:
        told.append(f"buckets {old.buckets} -> {new.buckets}")
    return told or ["identity"]


def value_differences(old: Limit, new: Limit) -> list[str]:
    """What else is new; counters are kept."""
    told = []
    if old.rate.unlimited != new.rate.unlimited:
        told.append("now unlimited" if new.rate.unlimited else "no longer unlimited")
    if old.rate.limit != new.rate.limit:
        told.append(f"limit {old.rate.limit} -> {new.rate.limit}")
    if old.cost != new.cost:
        told.append(f"cost {old.cost} -> {new.cost}")
    if old.score_cost != new.score_cost:
        told.append(f"score_cost {old.score_cost} -> {new.score_cost}")
    if old.shadow != new.shadow:
        told.append("now shadow" if new.shadow else "now enforced")
    if old.status != new.status:
        told.append(f"status {old.status} -> {new.status}")
    if old.consistency != new.consistency:
        told.append(f"consistency {old.consistency.name.lower()} -> {new.consistency.name.lower()}")
    if old.on_store_loss != new.on_store_loss:
        told.append(f"on_store_loss {old.on_store_loss.name.lower()} -> {new.on_store_loss.name.lower()}")
    if old.skip_missing_key != new.skip_missing_key:
        told.append(f"missing_key: {'skip' if new.skip_missing_key else 'share'}")
    told += [
        word for word, a, b in (("match", old.match, new.match), ("overrides", old.overrides, new.overrides)) if a != b
    ]
    return told


def key_text(item: Limit | Penalty) -> str:
    return f"[{', '.join(format_source(part.source, part.name) for part in item.key)}]"


def describe(limit: Limit) -> str:
    return f"{limit.rate.limit} per {format_duration(limit.rate.window_ms)} by {key_text(limit)}"


def render_changes(changes: list[Change]) -> str:
    """A line for each that is not merely kept, and one that counts those."""
    lines = [str(change) for change in changes if change.kind != "kept"]
    kept = sum(change.kind == "kept" and not change.penalty for change in changes)
    return "\n".join([*lines, f"{kept} limit{'' if kept == 1 else 's'} unchanged, counters kept"]) + "\n"
