"""A gRPC client of a ratelimitd, blocking or for asyncio. Share it between threads (or tasks).

A denial is an answer: only a failure to get one is an error, and `on_error` says what becomes of the request then.

The channel is made by the first call, so a client may live at module level, before a fork or a loop. It is made anew
when no call was made for `idle_seconds` by the wall clock: a frozen Lambda sends no keepalives, and its connection is
long gone when it thaws.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio

from ratelimitd.client.base import IDLE_SECONDS, Asynchronous, Base, Blocking
from ratelimitd.client.message import decode, encode, encode_batch, encode_inspection
from ratelimitd.client.outcome import CheckError, OnError, settle
from ratelimitd.client.request import Request
from ratelimitd.client.response import Response
from ratelimitd.client.trust import advised
from ratelimitd.client.verdict import Verdict
from ratelimitd.v1 import ratelimit_pb2_grpc as services

_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # http_proxy is for web traffic: a limiter next door must not be asked through it
    ("grpc.primary_user_agent", "ratelimitd-client"),
    ("grpc.use_local_subchannel_pool", 1),  # a channel that is made anew has a connection of its own
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


def _target(address: str) -> str:
    """The address as gRPC writes it, which has a scheme of its own for abstract sockets."""
    return "unix-abstract:" + address.removeprefix("unix:@") if address.startswith("unix:@") else address


def _failed(address: str, error: Any) -> CheckError:
    code, details = error.code().name, error.details() or ""
    if code == "RESOURCE_EXHAUSTED" and "too large" in details:
        code = "TOO_LARGE"
    return CheckError(address, code, advised(details) if code == "UNAVAILABLE" else details)


def _message(address: str, make: Any, *arguments: Any) -> Any:
    """A message of the contract. What has no place in one is as bad as what the server refuses. Raises CheckError."""
    try:
        return make(*arguments)
    except (TypeError, ValueError) as error:
        raise CheckError(address, "INVALID_ARGUMENT", str(error)) from None


def _is_unavailable(error: Any) -> bool:
    return bool(error.code() is grpc.StatusCode.UNAVAILABLE)


class _Channel(Base):
    """What both clients are made of. `up`: a call was answered, and none since found nobody twice."""

    def __init__(
        self,
        address: str = "127.0.0.1:8081",
        *,
        timeout: float = 1.0,
        on_error: OnError = "raise",
        idle_seconds: float = IDLE_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        super().__init__(address, timeout, on_error, idle_seconds)
        self._credentials = credentials
        self._channel: Any = None
        self._service: Any = None
        self._owner: object = None  # the process, or the loop, whose channel it is
        self._used = 0.0
        self._up = False

    def _fresh(self, owner: object) -> bool:
        """Can the channel be used by this owner? Notes that it is."""
        now = time.time()
        fresh = self._channel is not None and self._owner == owner and now - self._used < self._idle_seconds
        self._used = now
        return fresh

    def _make(self, owner: object, module: Any) -> None:
        target = _target(self.address)
        if self._credentials is None:
            self._channel = module.insecure_channel(target, options=_OPTIONS)
        else:
            self._channel = module.secure_channel(target, self._credentials, options=_OPTIONS)
        self._service = services.RateLimitServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._owner = owner


class Client(_Channel, Blocking):
    """Blocking.

    `address` is "HOST:PORT", "unix:PATH" or "unix:@NAME"; `timeout` is a call's deadline in seconds, retry included;
    `credentials` (grpc.ssl_channel_credentials) turn TLS on. `on_error`: "raise" (CheckError), or a verdict that allows
    or denies, with `error` set.

    A call that finds a server gone (UNAVAILABLE) is tried once more as soon as there is a connection, within its
    deadline. When that was in vain, calls fail at once until one succeeds. A retry may count a request twice, never not
    at all.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lock = threading.Lock()

    def _check(self, request: Request, deadline: float) -> Verdict:
        return decode(self._call("Check", _message(self.address, encode, request), deadline))

    def check_many(self, requests: Iterable[Request], *, timeout: float | None = None) -> list[Verdict]:
        """Decides up to 100 requests in order; each verdict stands for itself. Errors as in `check`."""
        asked = list(requests)
        try:
            answer = self._call("CheckBatch", _message(self.address, encode_batch, asked), self._deadline(timeout))
        except CheckError as error:
            return [settle(error, self.on_error)] * len(asked)
        return [decode(r) for r in answer.responses]

    def inspect_response(self, request: Request, response: Response, *, timeout: float | None = None) -> Verdict:
        """Decides whether a response may be passed on; counts nothing. Errors as in `check`."""
        try:
            asked = _message(self.address, encode_inspection, request, response)
            return decode(self._call("InspectResponse", asked, self._deadline(timeout)))
        except CheckError as error:
            return _of_response(settle(error, self.on_error), response)

    def _call(self, method: str, message: Any, deadline: float) -> Any:
        call = getattr(self._connected(), method)
        try:
            answer = call(message, timeout=self._left(deadline))
        except grpc.RpcError as error:
            if not self._up or not _is_unavailable(error):
                raise _failed(self.address, error) from None
            answer = self._retry(call, message, deadline, error)
        self._up = True
        return answer

    def _retry(self, call: Any, message: Any, deadline: float, first: Any) -> Any:
        try:
            return call(message, timeout=self._left(deadline), wait_for_ready=True)
        except (grpc.RpcError, CheckError):
            self._up = False
            raise _failed(self.address, first) from None

    def _connected(self) -> Any:
        with self._lock:
            owner = os.getpid()
            if not self._fresh(owner):
                if self._channel is not None and self._owner == owner:
                    self._channel.close()
                self._make(owner, grpc)
            return self._service

    def close(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel = self._service = None


class AsyncClient(_Channel, Asynchronous):
    """The same for asyncio. A client that meets another loop connects anew."""

    async def _check(self, request: Request, deadline: float) -> Verdict:
        return decode(await self._call("Check", _message(self.address, encode, request), deadline))

    async def check_many(self, requests: Iterable[Request], *, timeout: float | None = None) -> list[Verdict]:
        """Decides up to 100 requests in order; each verdict stands for itself. Errors as in `check`."""
        asked = list(requests)
        try:
            answer = await self._call(
                "CheckBatch", _message(self.address, encode_batch, asked), self._deadline(timeout)
            )
        except CheckError as error:
            return [settle(error, self.on_error)] * len(asked)
        return [decode(r) for r in answer.responses]

    async def inspect_response(self, request: Request, response: Response, *, timeout: float | None = None) -> Verdict:
        """Decides whether a response may be passed on; counts nothing. Errors as in `check`."""
        try:
            asked = _message(self.address, encode_inspection, request, response)
            return decode(await self._call("InspectResponse", asked, self._deadline(timeout)))
        except CheckError as error:
            return _of_response(settle(error, self.on_error), response)

    async def _call(self, method: str, message: Any, deadline: float) -> Any:
        call = getattr(await self._connected(), method)
        try:
            answer = await call(message, timeout=self._left(deadline))
        except grpc.RpcError as error:
            if not self._up or not _is_unavailable(error):
                raise _failed(self.address, error) from None
            answer = await self._retry(call, message, deadline, error)
        self._up = True
        return answer

    async def _retry(self, call: Any, message: Any, deadline: float, first: Any) -> Any:
        try:
            return await call(message, timeout=self._left(deadline), wait_for_ready=True)
        except (grpc.RpcError, CheckError):
            self._up = False
            raise _failed(self.address, first) from None

    async def _connected(self) -> Any:
        owner = asyncio.get_running_loop()
        if not self._fresh(owner):
            old, same = self._channel, self._owner is owner
            self._make(owner, grpc.aio)
            service = self._service
            if old is not None and same:
                await old.close()
            return service
        return self._service

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and self._owner is asyncio.get_running_loop():
            await channel.close()


def _of_response(verdict: Verdict, response: Response) -> Verdict:
    """The status of a response that is passed on is its own."""
    return replace(verdict, status=response.status) if verdict.allowed else verdict
