"""Networks that a test can cut: silently, as a firewall does, or with a reset. Between a node and its store, between a
node and a whole cluster, and inside a cluster.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress


class Proxy:
    """Passes bytes from a free port of 127.0.0.1 to `target`, while it is not cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._cut: set[str] = set()  # addresses of callers; "" is everyone
        self._changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.renamed: Mapping[int, int] = {}  # ports in what the target says
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, caller: str = "") -> None:
        """From now on bytes wait, from and to this address or all, and nobody is told."""
        with self._changed:
            self._cut.add(caller)

    def mend(self) -> None:
        with self._changed:
            self._cut.clear()
            self._changed.notify_all()

    def reset(self) -> None:
        """Ends every connection, in the middle of whatever was said. New ones are taken."""
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.mend()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                here, (caller, _) = self._listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                here.close()
                continue
            for source, sink, spoken in ((here, there, False), (there, here, True)):
                self._sockets.add(source)
                threading.Thread(target=self._pass, args=(source, sink, caller, spoken), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, caller: str, spoken: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._cut:
                    with self._changed:
                        self._changed.wait_for(lambda: not self._cut & {"", caller})
                for port, other in self.renamed.items() if spoken else ():
                    data = data.replace(b":%d\r\n" % port, b":%d\r\n" % other)
                sink.sendall(data)
        self._sockets.discard(source)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()


class Network:
    """What one node sees of a cluster: every server through a proxy of its own, also those that others tell it of."""

    def __init__(self, proxies: Sequence[Proxy], targets: Sequence[int]) -> None:
        self._proxies = proxies
        for one in proxies:
            one.renamed = {target: p.port for target, p in zip(targets, proxies, strict=True)}

    @property
    def url(self) -> str:
        return "redis://" + ",".join(f"127.0.0.1:{one.port}" for one in self._proxies)

    def cut(self) -> None:
        for one in self._proxies:
            one.cut()

    def mend(self) -> None:
        for one in self._proxies:
            one.mend()

    def reset(self) -> None:
        for one in self._proxies:
            one.reset()


@contextmanager
def network(targets: Sequence[int]) -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network([stack.enter_context(proxy(target)) for target in targets], targets)
