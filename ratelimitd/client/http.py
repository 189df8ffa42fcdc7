"""HTTP/JSON clients of a ratelimitd (`POST /v1/check`) that need nothing but the standard library.

Connections are kept alive, and taken in turns by the threads, or tasks, that share a client. The deadline is that of
the whole call: a server that answers byte by byte gets no more time than one that is silent.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from ratelimitd.client.base import Blocking
from ratelimitd.client.door import LostError, OfDoor
from ratelimitd.client.http1 import Answer, AnswerError
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

_READ = 1 << 16  # bytes


class HttpClient(OfDoor[socket.socket], Blocking):
    """Blocking; for any number of threads.

    `address` is "HOST:PORT", "http://HOST:PORT", "https://HOST[:PORT]" or "unix:PATH"; `tls` an ssl.SSLContext with
    what https needs beyond the system's trust. `timeout` is a call's deadline in seconds, retry included. `on_error`:
    "raise" (CheckError), or a verdict that allows or denies, with `error` set.

    A call whose connection ends before an answer begins, or that finds nobody, is tried once more on a new connection
    within its deadline. It may count a request twice, never not at all.
    """

    def close(self) -> None:
        """Closes the connections that nobody uses. A later call opens a new one."""
        for connection in self._kept.all(os.getpid()):
            connection.close()

    def _check(self, request: Request, deadline: float) -> Verdict:
        asked = self._door.question(request)
        try:
            return self._door.verdict(self._asked(asked, deadline))
        except (OSError, AnswerError, LostError) as error:
            raise self._door.failed(error) from None

    def _asked(self, asked: bytes, deadline: float) -> Answer:
        kept, stale = self._kept.take(os.getpid())
        for connection in stale:
            connection.close()
        try:
            return self._exchange(asked, deadline, kept)
        except LostError:
            return self._exchange(asked, deadline, None)

    def _exchange(self, asked: bytes, deadline: float, kept: socket.socket | None) -> Answer:
        """Sends once. Raises LostError when the connection ended before an answer began, OSError, AnswerError."""
        answer, connection, done = Answer(), kept, False
        try:
            if connection is None:
                connection = self._connected(deadline)
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read all
                self._send(connection, asked, deadline)
            self._receive(connection, answer, deadline)
            done = answer.keeps and answer.status != 503
        except self._door.lost as error:
            if answer.has_begun:
                raise
            raise LostError from error
        finally:
            if connection is not None and not (done and self._kept.give(os.getpid(), connection)):
                connection.close()
        return answer

    def _send(self, connection: socket.socket, asked: bytes, deadline: float) -> None:
        left = memoryview(asked)
        while left:
            connection.settimeout(self._left(deadline))
            left = left[connection.send(left) :]

    def _receive(self, connection: socket.socket, answer: Answer, deadline: float) -> None:
        while True:
            connection.settimeout(self._left(deadline))
            data = connection.recv(_READ)
            if not data and not answer.has_begun:
                raise ConnectionResetError("the server hung up without an answer")
            if answer.feed(data):
                return

    def _connected(self, deadline: float) -> socket.socket:
        """A new connection, hands shaken. Raises OSError."""
        if self._door.unix:
            return self._opened(socket.AF_UNIX, self._door.unix, deadline)
        failed: OSError | None = None
        for family, _, _, _, where in socket.getaddrinfo(self._door.host, self._door.port, type=socket.SOCK_STREAM):
            try:
                opened = self._opened(family, where, deadline)
            except OSError as error:
                failed = error
            else:
                return self._sealed(opened, deadline) if self._door.secure else opened
        raise failed or OSError("the name has no address")

    def _opened(self, family: int, where: object, deadline: float) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(self._left(deadline))
            opened.connect(where)  # type: ignore[arg-type]
            if family != socket.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            opened.close()
            raise
        return opened

    def _sealed(self, opened: socket.socket, deadline: float) -> socket.socket:
        try:
            host = self._door.host
            sealed = self._door.context().wrap_socket(opened, server_hostname=host, do_handshake_on_connect=False)
        except BaseException:
            opened.close()
            raise
        try:
            sealed.settimeout(self._left(deadline))
            sealed.do_handshake()
        except BaseException:
            sealed.close()
            raise
        return sealed
