"""What every client is made of, whatever it asks by: settings, one deadline for a call, and what a failure becomes."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from ratelimitd.client.outcome import CheckError, OnError, settle, validate
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

# A network load balancer forgets a connection after 350 s.
IDLE_SECONDS = 240.0


class Base:
    """`timeout`: seconds for all that a call does. `on_error`: what becomes of a call without a verdict."""

    def __init__(self, address: str, timeout: float, on_error: OnError, idle_seconds: float) -> None:
        validate(on_error)
        self.address = address
        self.timeout = timeout
        self.on_error = on_error
        self._idle_seconds = idle_seconds

    def _deadline(self, timeout: float | None) -> float:
        """When a call must be done, by the monotonic clock."""
        return time.monotonic() + (self.timeout if timeout is None else timeout)

    def _left(self, deadline: float) -> float:
        """Seconds. Raises CheckError when there are none."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise CheckError(self.address, "DEADLINE_EXCEEDED", "no answer in time")
        return left


class Blocking(Base):
    """For any number of threads."""

    def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
        """Decides and counts one request. Raises CheckError if `on_error` is "raise"."""
        try:
            return self._check(request, self._deadline(timeout))
        except CheckError as error:
            return settle(error, self.on_error)

    def _check(self, request: Request, deadline: float) -> Verdict:
        raise NotImplementedError

    def close(self) -> None:
        """Closes what nobody uses. A later call opens it again."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Asynchronous(Base):
    """For asyncio. One that meets another loop connects anew."""

    async def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
        """Decides and counts one request. Raises CheckError if `on_error` is "raise"."""
        try:
            return await self._check(request, self._deadline(timeout))
        except CheckError as error:
            return settle(error, self.on_error)

    async def _check(self, request: Request, deadline: float) -> Verdict:
        raise NotImplementedError

    async def close(self) -> None:
        """Closes what nobody uses. A later call opens it again."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
