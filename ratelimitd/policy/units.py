"""Durations, rates, sizes and networks as people write them."""

from __future__ import annotations

import ipaddress
import re

from ratelimitd.policy.plan import Cidr

MAX_COUNT = 2**32 - 1
MAX_WINDOW_MS = 49 * 86_400_000  # the engine keeps windows in 32 bits of milliseconds
MAX_FIXED_WINDOW_MS = 8 * MAX_WINDOW_MS  # ... and of long fixed ones an eighth

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"([0-9]{1,12})(ms|s|m|h|d|w)")
_RATE = re.compile(r"([0-9]{1,12})\s*/\s*([0-9a-z]{1,32})\Z")
_SIZE = re.compile(r"([0-9]{1,12})\s*(B|KiB|MiB)?\Z")
_SIZES = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024 * 1024}


def parse_duration(text: str) -> int:
    """Milliseconds of "30s", "250ms", "1h30m". Raises ValueError."""
    position, total, smallest = 0, 0, 1 << 62
    while position < len(text):
        part = _PART.match(text, position)
        if part is None or _UNITS[part[2]] >= smallest:
            position = -1
            break
        smallest = _UNITS[part[2]]
        total += int(part[1]) * smallest
        position = part.end()
    if position <= 0:
        raise ValueError(f"'{text[:40]}' is not a duration like 250ms, 30s, 5m, 1h30m or 1d")
    return total


def format_duration(milliseconds: int) -> str:
    """The shortest text that parse_duration reads as that."""
    if milliseconds == 0:
        return "0s"
    text = ""
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        if unit != "w" and milliseconds >= size:
            count, milliseconds = divmod(milliseconds, size)
            text += f"{count}{unit}"
    return text


def parse_rate(text: str) -> tuple[int, int]:
    """(hits, milliseconds) of "500/s", "10/m", "1000/1h". Raises ValueError."""
    found = _RATE.match(text)
    if found is None:
        raise ValueError(f"'{text[:40]}' is not a rate like 500/s, 10/m or 1000/1h")
    period = found[2]
    try:
        window = parse_duration(period if period[0].isdigit() else f"1{period}")
    except ValueError:
        raise ValueError(f"'{text[:40]}' is not a rate like 500/s, 10/m or 1000/1h") from None
    return int(found[1]), window


def parse_size(value: str | int) -> int:
    """Bytes of 4096, "64KiB" or "1MiB". Raises ValueError."""
    found = _SIZE.match(str(value))
    if found is None:
        raise ValueError(f"'{str(value)[:40]}' is not a size like 4096, 64KiB or 1MiB")
    return int(found[1]) * _SIZES[found[2]]


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network; a bare address is a network of one. Raises ValueError, also for host bits that are set."""
    if len(text) > 64:
        raise ValueError(f"'{text[:40]}...' is not an address or a network like 10.0.0.0/8")
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"'{text}' is not an address or a network like 10.0.0.0/8 or 2001:db8::/32") from None
    if "%" in text:
        raise ValueError(f"'{text}' has a scope id")
    address = ipaddress.ip_address(text.partition("/")[0])
    if "/" in text and address != loose.network_address:
        raise HostBitsError(f"'{text}' has host bits set", str(loose))
    return loose


class HostBitsError(ValueError):
    """The network's address is not its first. `fixed` is the network that was probably meant."""

    def __init__(self, message: str, fixed: str) -> None:
        super().__init__(message)
        self.fixed = fixed


def cidr_of(text: str) -> Cidr:
    """The plan's form of a network: IPv4 mapped into IPv6."""
    network = parse_network(text)
    if isinstance(network, ipaddress.IPv4Network):
        return Cidr(b"\0" * 10 + b"\xff\xff" + network.network_address.packed, 96 + network.prefixlen)
    return Cidr(network.network_address.packed, network.prefixlen)


def format_cidr(cidr: Cidr) -> str:
    address = ipaddress.IPv6Address(cidr.address)
    if address.ipv4_mapped is not None and cidr.prefix >= 96:
        return f"{address.ipv4_mapped}/{cidr.prefix - 96}"
    return f"{address}/{cidr.prefix}"
