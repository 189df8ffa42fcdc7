"""TLS certificates: loaded at start, loaded again when their files change, told of before they end.

Looked at every half second by content: certificate managers replace files in an order of their own, and Kubernetes
swaps a symlink beside them. What is no working whole changes nothing: the last good ones stay, and log, metrics and
readiness say why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ratelimitd.errors import EngineError, SettingsError
from ratelimitd.log import Logger

if TYPE_CHECKING:
    from ratelimitd._engine import TlsFailure, TlsInfo

POLL_SECONDS = 0.5
SETTLE_SECONDS = 0.05  # contents that still change are not read yet ...
SETTLE_STEPS = 10  # ... but after this many looks they are
MAX_BYTES = 1 << 20
WARN_SECONDS = 14 * 86_400.0  # before the end, but never before three quarters of the time it lasts
REMIND_SECONDS = 86_400.0

# What a failed handshake means, for the log.
WORDS = {
    "not_tls": "it does not speak TLS",
    "nothing_in_common": "no TLS version, cipher or protocol in common",
    "no_certificate": "it showed no certificate",
    "unknown_ca": "its certificate is from none of the authorities of --tls-client-ca",
    "expired": "its certificate has expired, or is not valid yet",
    "name": "its certificate bears none of --tls-client-names",
    "bad_certificate": "its certificate cannot be used",
    "refused_by_peer": "it refused our certificate, or gave up",
    "timeout": "it took too long",
    "gone": "it hung up at the sight of our certificate, as a rule because it does not trust it",
    "protocol_error": "what it sent is no proper TLS",
}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsState:
    """What admin and metrics show of the certificates in use and of the last attempt. Times are Unix seconds."""

    certificate: str = ""  # its names
    not_before: float = 0.0
    not_after: float = 0.0
    client_ca_not_after: float = 0.0  # 0: clients need no certificate
    loaded_at: float = 0.0
    attempted_at: float = 0.0
    ok: bool = True  # the last attempt
    error: str = ""  # of the last attempt
    successes: int = 0
    failures: int = 0


class Engine(Protocol):
    """What is needed of the engine."""

    def set_tls(self, certificate: bytes, key: bytes, client_ca: bytes, client_names: Sequence[str]) -> TlsInfo: ...
    def tls_failures(self) -> list[TlsFailure]: ...


def chosen(
    *, listens: bool, certificate: str, key: str, client_ca: str, client_names: tuple[str, ...]
) -> TlsFiles | None:
    """What the settings ask for; None: no TLS. Raises SettingsError when they are but half of something."""
    if not listens:
        if certificate or key or client_ca or client_names:
            raise SettingsError("--tls-cert, --tls-key, --tls-client-ca and --tls-client-names need --listen-tls")
        return None
    if not certificate or not key:
        raise SettingsError("--listen-tls needs --tls-cert and --tls-key")
    if client_names and not client_ca:
        raise SettingsError("--tls-client-names needs --tls-client-ca: without it clients show no certificate")
    return TlsFiles(Path(certificate), Path(key), Path(client_ca) if client_ca else None, client_names)


Contents = tuple[bytes | str, ...]  # of certificate, key, authorities; text: why it cannot be read


def read(path: Path) -> bytes | str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    return content if len(content) <= MAX_BYTES else f"{path}: larger than {MAX_BYTES} bytes"


class Certificates:
    """Owns which certificates are in use."""

    def __init__(self, files: TlsFiles, engine: Engine, log: Logger, now: Callable[[], float] = time.time) -> None:
        self.state = TlsState()
        self._files = files
        self._engine = engine
        self._log = log
        self._now = now
        self._seen: Contents = ()
        self._forced = False
        self._reminded_at = 0.0

    def first(self) -> None:
        """Loads at start. Raises SettingsError: without a certificate nothing can be served."""
        self._seen = self._read()
        try:
            self._install(self._seen)
        except EngineError as error:
            raise SettingsError(f"TLS cannot be served: {error}") from None
        self._remind()

    def request(self) -> None:
        """Reload at the next look, changed or not (SIGHUP)."""
        self._forced = True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._tell_failures()
            await self.look()
            self._remind()

    async def look(self) -> None:
        """Loads again when something has changed."""
        forced, self._forced = self._forced, False
        now = await asyncio.to_thread(self._read)
        if now == self._seen and not forced:
            return
        self._seen = await self._settled(now)
        try:
            await asyncio.to_thread(self._install, self._seen, is_reload=True)
        except EngineError as error:
            self.state = replace(
                self.state, attempted_at=self._now(), ok=False, error=str(error), failures=self.state.failures + 1
            )
            self._log.error("certificates refused: the last good ones stay", error=str(error))
        else:
            self._reminded_at = 0.0
            self._log.info("certificates reloaded", certificate=self.state.certificate, ends=utc(self.state.not_after))

    def _read(self) -> Contents:
        authorities = read(self._files.client_ca) if self._files.client_ca else b""
        return read(self._files.certificate), read(self._files.key), authorities

    async def _settled(self, before: Contents) -> Contents:
        """The contents once they stand still: a certificate may be there a moment before its key."""
        for _ in range(SETTLE_STEPS):
            await asyncio.sleep(SETTLE_SECONDS)
            now = await asyncio.to_thread(self._read)
            if now == before:
                break
            before = now
        return before

    def _install(self, contents: Contents, *, is_reload: bool = False) -> None:
        """Raises EngineError, and nothing changes."""
        unread = [part for part in contents if isinstance(part, str)]
        if unread:
            raise EngineError("; ".join(unread))
        certificate, key, authorities = (part for part in contents if isinstance(part, bytes))
        if self._files.client_ca and not authorities.strip():
            raise EngineError(f"{self._files.client_ca}: empty, and then nobody could ask")
        info = self._engine.set_tls(certificate, key, authorities, self._files.client_names)
        now = self._now()
        self.state = replace(
            self.state,
            certificate=info["certificate"],
            not_before=float(info["not_before"]),
            not_after=float(info["not_after"]),
            client_ca_not_after=float(info["client_ca_not_after"]),
            loaded_at=now,
            attempted_at=now,
            ok=True,
            error="",
            successes=self.state.successes + 1,
        )

    def _remind(self) -> None:
        """Once a day, when an end is near or has come."""
        now = self._now()
        if now - self._reminded_at < REMIND_SECONDS:
            return
        lasts = self.state.not_after - self.state.not_before
        ends = (
            ("the TLS certificate", self.state.not_after, min(WARN_SECONDS, lasts / 4)),
            ("a certificate of --tls-client-ca", self.state.client_ca_not_after, WARN_SECONDS),
        )
        for what, end, ahead in ends:
            if end and end - now <= ahead:
                self._reminded_at = now
                if end <= now:
                    self._log.error(f"{what} has expired", ended=utc(end))
                else:
                    self._log.warning(f"{what} expires soon", ends=utc(end), days=round((end - now) / 86_400, 1))

    def _tell_failures(self) -> None:
        for failure in self._engine.tls_failures():
            known = {name: failure[name] for name in ("peer", "certificate", "detail") if failure[name]}
            self._log.warning(
                "TLS handshake failed", reason=failure["reason"], meaning=WORDS.get(failure["reason"], ""), **known
            )


def utc(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
