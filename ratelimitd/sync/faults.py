"""What went wrong with the store, in a word for metrics and in a sentence that says what to do."""

from __future__ import annotations

import ssl

from redis import exceptions as redis


class StoreError(Exception):
    """The store is there and is not one that we can use."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


MOVED = "moved"  # somebody else has the slot now: look again who

# The first that fits. Words are how an error's text begins, for what redis-py has no class for.
_CLASSES: tuple[tuple[type[BaseException], str, str], ...] = (
    (redis.MovedError, MOVED, "its slots move to another master"),
    (redis.AskError, MOVED, "its slots are moving to another master"),
    (redis.TryAgainError, MOVED, "its slots are moving to another master"),
    (redis.ReadOnlyError, MOVED, "it is a replica now"),
    (redis.ClusterDownError, "down", "the cluster says that it is down: see CLUSTER INFO"),
    (redis.AuthenticationError, "auth", "user name or password are wrong: see --redis and --redis-password-file"),
    (redis.NoPermissionError, "permission", "the user may not do it: docs/cluster.md has the ACL line"),
    (redis.OutOfMemoryError, "memory", "it is full: raise maxmemory, or evict by volatile-ttl"),
    (redis.BusyLoadingError, "loading", "it loads its data"),
    (redis.TimeoutError, "timeout", "it does not answer in time"),
    (TimeoutError, "timeout", "it does not answer in time"),
    (ssl.SSLError, "tls", "TLS failed: see --redis-ca and the certificate's names"),
    (redis.ConnectionError, "connection", "it cannot be reached"),
    (OSError, "connection", "it cannot be reached"),
)
_WORDS = (
    ("NOAUTH", "auth", "it wants a password: put it into --redis or --redis-password-file"),
    ("WRONGPASS", "auth", "user name or password are wrong: see --redis and --redis-password-file"),
    ("NOPERM", "permission", "the user may not do it: docs/cluster.md has the ACL line"),
    ("OOM", "memory", "it is full: raise maxmemory, or evict by volatile-ttl"),
    ("MISCONF", "disk", "it refuses writes because it cannot save: see its log"),
    ("NOREPLICAS", "replicas", "it refuses writes because too few replicas are in step"),
    ("MASTERDOWN", "down", "its master is down"),
    ("BUSY", "busy", "a script has been running for long: see SCRIPT KILL"),
    ("UNBLOCKED", MOVED, "it is a replica now"),
)


def explain(error: BaseException) -> tuple[str, str]:
    """(kind, sentence). The sentence ends with the error's own words."""
    if isinstance(error, StoreError):
        return error.kind, str(error)
    said = " ".join(str(error).split())[:200]
    if isinstance(error, redis.ResponseError):
        for word, kind, sentence in _WORDS:
            if said.startswith(word):
                return kind, f"{sentence} ({said})"
    tls = next((e for e in (error, error.__cause__, error.__context__) if isinstance(e, ssl.SSLError)), None)
    for known, kind, sentence in _CLASSES:
        if isinstance(tls or error, known):
            return kind, f"{sentence} ({said or type(error).__name__})"
    if isinstance(error, redis.ResponseError):
        return "refused", f"it refuses a command ({said})"
    return "nonsense", f"it answers what no Redis answers ({type(error).__name__}: {said})"
