"""Real servers on real sockets, with a spine that allows all but paths beginning with /deny."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http1_client import Client
from http2_peer import Peer
from ratelimitd._ext.net.probe import Server

Serve = Callable[..., tuple[Server, str]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(**options)` starts a server on an address of its own: (server, address)."""
    servers = []

    def start(listen: str = "127.0.0.1:0", **options: Any) -> tuple[Server, str]:
        server = Server(**options)
        servers.append(server)
        address = server.listen(listen)
        server.start()
        return server, address

    yield start
    for server in servers:
        server.stop()
        assert server.connections() == 0
        assert server.violations() == 0


@pytest.fixture
def connect() -> Iterator[Callable[..., Peer]]:
    """`connect(address)` is a raw HTTP/2 peer."""
    peers = []

    def open_peer(*arguments: Any, **options: Any) -> Peer:
        peers.append(Peer(*arguments, **options))
        return peers[-1]

    yield open_peer
    for peer in peers:
        peer.close()


@pytest.fixture
def client() -> Iterator[Callable[[str], Client]]:
    """`client(address)` speaks HTTP/1.1."""
    clients: list[Client] = []

    def open_client(address: str) -> Client:
        clients.append(Client(address))
        return clients[-1]

    yield open_client
    for opened in clients:
        opened.socket.close()
