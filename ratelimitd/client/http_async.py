"""The HTTP/JSON client for asyncio, of the standard library alone."""

from __future__ import annotations

import asyncio
from typing import Any

from ratelimitd.client.base import Asynchronous
from ratelimitd.client.door import MAX_CONNECTIONS, LostError, OfDoor
from ratelimitd.client.http1 import Answer, AnswerError
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict


class AsyncHttpClient(OfDoor["_Connection"], Asynchronous):
    """As HttpClient, for asyncio, with at most 64 connections: what comes in at once beyond that waits its turn.

    The wait counts towards the deadline, as all that a call does: names, too, unlike with HttpClient.
    """

    _turns: tuple[object, asyncio.Semaphore] | None = None  # of a loop

    async def close(self) -> None:
        """Closes the connections that nobody uses. A later call opens a new one."""
        for connection in self._kept.all(asyncio.get_running_loop()):
            connection.close()

    async def _check(self, request: Request, deadline: float) -> Verdict:
        asked = self._door.question(request)
        left = self._left(deadline)
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = (loop, asyncio.Semaphore(MAX_CONNECTIONS))
        try:
            async with asyncio.timeout(left), self._turns[1]:
                return self._door.verdict(await self._asked(asked, loop))
        except (OSError, AnswerError, LostError) as error:
            raise self._door.failed(error) from None

    async def _asked(self, asked: bytes, loop: asyncio.AbstractEventLoop) -> Answer:
        kept, stale = self._kept.take(loop)
        for connection in stale:
            connection.close()
        try:
            return await self._exchange(asked, loop, kept)
        except LostError:
            return await self._exchange(asked, loop, None)

    async def _exchange(self, asked: bytes, loop: asyncio.AbstractEventLoop, kept: _Connection | None) -> Answer:
        """Sends once. Raises LostError when the connection ended before an answer began, OSError, AnswerError."""
        connection, answer = kept, Answer()
        done = False
        try:
            connection = connection or await self._connected(loop)
            await connection.ask(asked, answer)
            done = answer.keeps and answer.status != 503
        except self._door.lost as error:
            if answer.has_begun:
                raise
            raise LostError from error
        finally:
            if connection is not None and not (done and self._kept.give(loop, connection)):
                connection.close()
        return answer

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        if self._door.unix:
            return (await loop.create_unix_connection(_Connection, self._door.unix))[1]
        secure: dict[str, Any] = {"ssl": self._door.context()} if self._door.secure else {}
        return (await loop.create_connection(_Connection, self._door.host, self._door.port, **secure))[1]


class _Connection(asyncio.Protocol):
    """Asks one question at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: Answer | None = None
        self._whole: asyncio.Future[None] | None = None
        self._ended: Exception | None = None

    async def ask(self, asked: bytes, answer: Answer) -> None:
        """Returns when the answer is whole. Raises OSError, AnswerError."""
        if self._ended is not None:
            raise self._ended
        self._answer, self._whole = answer, asyncio.get_running_loop().create_future()
        try:
            self._transport.write(asked)
            await self._whole
        finally:
            self._answer = self._whole = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.close()
            return
        self._feed(data)

    def eof_received(self) -> None:
        if self._answer is not None and self._answer.has_begun:
            self._feed(b"")

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = error or ConnectionResetError("the server hung up without an answer")
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(self._ended)

    def _feed(self, data: bytes) -> None:
        if self._answer is None or self._whole is None or self._whole.done():
            return
        try:
            if self._answer.feed(data):
                self._whole.set_result(None)
        except AnswerError as error:
            self._whole.set_exception(error)
