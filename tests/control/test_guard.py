"""Who may ask the admin endpoints: not a page of another origin, under whatever name it reaches us."""

from __future__ import annotations

import socket

import pytest
from starlette.datastructures import Headers

from ratelimitd.admin.guard import host_name, is_own, same_origin
from ratelimitd.admin.server import bind, is_loopback


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("localhost:6070", "localhost"),
        ("[::1]:6070", "::1"),
        ("[::1]", "::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_host_names(authority: str, name: str) -> None:
    assert host_name(authority) == name


@pytest.mark.parametrize(
    "authority", ["127.0.0.1:6070", "[::1]:1", "localhost", "LOCALHOST:1", "a.localhost", "10.1.2.3:1", ""]
)
def test_own_names(authority: str) -> None:
    assert is_own(authority)


@pytest.mark.parametrize(
    "authority", ["evil.example:6070", "localhost.evil.example", "127.0.0.1.evil.example", "127.1:80x"]
)
def test_rebound_names(authority: str) -> None:
    assert not is_own(authority)


def test_this_machines_name_is_own() -> None:
    assert is_own(f"{socket.gethostname()}:6070")


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"host": "127.0.0.1:6070"}, True),
        ({"host": "127.0.0.1:6070", "origin": "http://127.0.0.1:6070"}, True),
        ({"host": "127.0.0.1:6070", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:6070", "origin": "http://127.0.0.1:8000"}, False),
        ({"host": "127.0.0.1:6070", "origin": "null"}, False),
        ({"host": "127.0.0.1:6070", "sec-fetch-site": "cross-site"}, False),
        ({"host": "127.0.0.1:6070", "sec-fetch-site": "same-site"}, False),
    ],
)
def test_origins(headers: dict[str, str], same: bool) -> None:
    assert same_origin(Headers(headers)) is same


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:0", "localhost:6070", "unix:/run/x.sock"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0:6070", ":6070", "[::]:6070", "10.0.0.1:6070", "example.com:6070", "6070"])
def test_not_loopback(address: str) -> None:
    assert not is_loopback(address)


def test_a_stale_unix_socket_is_taken_over_but_a_live_one_and_a_file_are_not(tmp_path: object) -> None:
    path = f"{tmp_path}/admin.sock"
    first, address = bind(f"unix:{path}")
    assert address == f"unix:{path}"
    with pytest.raises(OSError, match="in use"):
        bind(f"unix:{path}")
    first.close()
    bind(f"unix:{path}")[0].close()
    with open(f"{tmp_path}/file", "w"):
        pass
    with pytest.raises(OSError, match="in use"):
        bind(f"unix:{tmp_path}/file")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:x", "127.0.0.1:"])
def test_not_an_address(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        bind(address)
