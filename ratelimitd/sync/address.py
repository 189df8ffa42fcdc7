"""What --redis says: redis://user:password@host:port,host:port/0; rediss:// for TLS; /SERVICE behind Sentinels.

Whether it is one server, Sentinels or a cluster is asked, not written (topology.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from ratelimitd.errors import SettingsError

PORT = 6379
SHAPE = "write redis://HOST:PORT[,HOST:PORT...][/DATABASE or /SERVICE], rediss:// for TLS"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to begin. `path`: a database's number for a single server, a service's name for Sentinels."""

    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    username: str | None = None
    password: str | None = None
    path: str = ""

    def __str__(self) -> str:
        """Without the password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{'rediss' if self.tls else 'redis'}://{hosts}" + (f"/{self.path}" if self.path else "")


def parse(text: str) -> Address:
    """Raises SettingsError that says what is wrong and shows no password."""
    scheme, found, rest = text.partition("://")
    if not found or scheme not in ("redis", "rediss"):
        raise SettingsError(f"--redis: {SHAPE}")
    authority, _, path = rest.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    username, _, password = userinfo.partition(":")
    if "?" in path or "#" in path:
        raise SettingsError(f"--redis: what follows ? or # is not read; {SHAPE}")
    return Address(
        tuple(_host(part) for part in hosts.split(",")),
        scheme == "rediss",
        unquote(username) or None if at else None,
        unquote(password) or None if at else None,
        unquote(path),
    )


def _host(text: str) -> tuple[str, int]:
    name, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        name, port = text, str(PORT)
    name = name.strip().removeprefix("[").removesuffix("]")
    if not name or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(f"--redis: {text!r} is not HOST:PORT; {SHAPE}")
    return name, int(port)
