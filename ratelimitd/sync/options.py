"""How this node takes part, from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ratelimitd.errors import SettingsError
from ratelimitd.sync import address, credentials
from ratelimitd.sync.topology import Access

TIMEOUT_INTERVALS = 10  # a flush may take as many intervals, within these bounds
LEAST_SECONDS, MOST_SECONDS = 0.5, 2.0
HASH_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Options:
    """interval: seconds between flushes. wait: seconds for a store that does not answer at start."""

    access: Access
    prefix: str
    interval: float
    wait: float


def options(
    url: str,
    *,
    prefix: str,
    password_file: str,
    provider: str,
    ca: str,
    certificate: str,
    key: str,
    interval_ms: int,
    wait: float,
) -> Options:
    """Raises SettingsError."""
    where = address.parse(url)
    if not prefix or any(c in prefix for c in "{}") or not prefix.isprintable():
        raise SettingsError("--redis-prefix: a printable text without braces")
    password = _read(password_file, "--redis-password-file") if password_file else where.password
    for path, flag in ((ca, "--redis-ca"), (certificate, "--redis-cert"), (key, "--redis-key")):
        if path and not where.tls:
            raise SettingsError(f"{flag} is for TLS: write rediss:// instead of redis://")
        if path:
            _read(path, flag)
    access = Access(
        address=where,
        username=where.username,
        password=password,
        credentials=credentials.provider(provider) if provider else None,
        ca=ca,
        certificate=certificate,
        key=key,
        seconds=min(MOST_SECONDS, max(LEAST_SECONDS, interval_ms / 1000 * TIMEOUT_INTERVALS)),
    )
    return Options(access, prefix, interval_ms / 1000, wait)


def hash_key(path: str) -> bytes:
    """The key that a file holds in hexadecimal digits. Raises SettingsError."""
    try:
        key = bytes.fromhex(_read(path, "--hash-key-file"))
    except ValueError:
        key = b""
    if len(key) != HASH_KEY_BYTES:
        raise SettingsError(f"--hash-key-file {path}: 32 hexadecimal digits, as openssl rand -hex 16 prints them")
    return key


def _read(path: str, flag: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{flag} {path}: {getattr(error, 'strerror', None) or error}") from None
