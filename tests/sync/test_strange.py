"""What is no store of ours: checks go on, and it is said what is wrong."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ratelimitd.sync.address import parse
from ratelimitd.sync.faults import StoreError
from ratelimitd.sync.layout import Layout
from ratelimitd.sync.topology import Access, Topology
from tests.e2e.serving import eventually

from . import servers

OK = b"+OK\r\n"


@contextmanager
def answering(info: bytes, rest: bytes) -> Iterator[int]:
    """A server that says of itself `info` and answers all else with `rest`, but for what introduces a client."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                if b"INFO\r\n" in data and b"SETINFO" not in data:
                    connection.sendall(b"$%d\r\n%s\r\n" % (len(info), info))
                else:
                    connection.sendall(data.count(b"CLIENT\r\n") * OK or rest)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


CLUSTER = b"redis_version:7.0.1\r\nredis_mode:cluster\r\n"


@pytest.mark.parametrize(
    ("info", "rest", "said"),
    [
        (b"redis_version:5.0.7\r\nredis_mode:standalone\r\n", OK, "the store is Redis 5.0.7"),
        (b"redis_version:7.0.1\r\nredis_mode:quantum\r\n", OK, "its mode is 'quantum'"),
        (b"server:other\r\n", OK, "is it one?"),
        (CLUSTER, b"*1\r\n:7\r\n", "CLUSTER SLOTS with nonsense"),
        (CLUSTER, b"*0\r\n", "no slot of the cluster belongs to anybody"),
        (CLUSTER, b"HTTP/1.1 400 Bad Request\r\n\r\n", "what no Redis answers"),
    ],
    ids=["old", "mode", "other", "slots", "no slots", "http"],
)
def test_what_is_no_store(info: bytes, rest: bytes, said: str) -> None:
    async def find(port: int) -> None:
        topology = Topology(Access(parse(f"redis://127.0.0.1:{port}")), Layout("p"))
        try:
            await topology.open()
        finally:
            await topology.close()

    with answering(info, rest) as port, pytest.raises(StoreError, match=re.escape(said)):
        asyncio.run(find(port))


@pytest.mark.e2e
def test_checks_go_on_beside_what_is_no_store(policy: Path, tmp_path: Path) -> None:
    with (
        answering(CLUSTER, b"*0\r\n") as port,
        servers.node(policy, tmp_path / "a", f"redis://127.0.0.1:{port}", "--redis-wait-seconds", "0.5") as a,
    ):
        assert a.ask(20) == 20
        eventually(lambda: "no slot of the cluster belongs to anybody" in a.store()["problem"], "a says why")
        assert a.get("/readyz")["status"] == "degraded"
        assert a.events("the store cannot be used: checks go on")
