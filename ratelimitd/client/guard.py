"""What every door of an application does the same way: who asks, what is asked, and what happens without a verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from ratelimitd.client.address import AddressError, Headers, bare, client
from ratelimitd.client.outcome import CheckError, OnError, complain, made_up, settle, validate
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

BODY_LIMIT = 128 << 10  # bytes: as many as a policy scans unless it says otherwise
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Guard:
    """`trusted_hops`: our proxies, from the right of X-Forwarded-For. None: the policy's `client` decides.

    `exempt`: paths that are not checked, or one. `may_raise`: does this door know what to do with on_error="raise"?
    """

    on_error: OnError
    trusted_hops: int | None
    body_limit: int
    domain: str
    exempt: Collection[str] = ()
    may_raise: bool = False

    def __post_init__(self) -> None:
        validate(self.on_error, ("allow", "deny", "raise") if self.may_raise else ("allow", "deny"))
        object.__setattr__(self, "exempt", frozenset([self.exempt] if isinstance(self.exempt, str) else self.exempt))
        if self.trusted_hops is not None and not 0 <= self.trusted_hops <= 32:
            raise ValueError(f"trusted_hops={self.trusted_hops}: must be 0 to 32, or None")
        if self.body_limit < 0:
            raise ValueError(f"body_limit={self.body_limit}: must be 0 or more bytes")

    def request(
        self,
        *,
        method: str,
        path: str,
        peer: str,
        scheme: str,
        headers: Headers,
        body: bytes | None,
        partial_body: bool,
        attributes: Mapping[str, str],
    ) -> Request:
        """What to ask. Raises AddressError when nobody can say who it is."""
        host = first(headers, "host")
        if self.trusted_hops:
            scheme = first(headers, "x-forwarded-proto").rpartition(",")[2].strip() or scheme
        source = bare(peer)
        if self.trusted_hops is not None:
            source, headers = client(peer, headers, self.trusted_hops)
        return Request(
            method=method,
            path=path,
            source_address=source,
            host=host,
            scheme={"ws": "http", "wss": "https"}.get(scheme, scheme),
            headers=headers,
            body=body,
            partial_body=partial_body,
            attributes=attributes,
            domain=self.domain,
        )

    def failed(self, error: Exception) -> Verdict:
        """The verdict when there is none. A fault of ours, or of who asked, lets nobody pass. May raise for "raise"."""
        if isinstance(error, CheckError):
            return settle(error, self.on_error)
        if isinstance(error, AddressError):
            refusal = CheckError("request", "INVALID_ARGUMENT", str(error))
            complain(f"the request is denied: {refusal}")
            return made_up(refusal, "deny")
        complain(f"no verdict, so the request is denied: {type(error).__name__}: {error}")
        return made_up(error, "deny")


def first(headers: Headers, name: str) -> str:
    """The first value of a header, by its lower-case name; empty: it is not there."""
    for known, value in headers:
        if known.lower() == name:
            return value.decode("latin-1") if isinstance(value, bytes) else value
    return ""


def encoded(path: bytes) -> str:
    """A path as it goes over the wire: what may not stand in one is percent-encoded, what is encoded stays so."""
    return quote(path, safe=_PRINTABLE)
