"""One gRPC channel to a ratelimitd, blocking or for asyncio. Share it between threads (or tasks).

A denial is an answer: only a failure to get one raises. What to do then (let pass, or not) is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from ratelimitd.client.request import Request, encode
from ratelimitd.client.response import Response, encode_inspection
from ratelimitd.client.verdict import Verdict, decode
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as services

# http_proxy is for web traffic: a limiter next door must not be asked through it.
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.primary_user_agent", "ratelimitd-client")]


class CheckError(Exception):
    """No verdict: `code` is the name of the gRPC status ("UNAVAILABLE", "DEADLINE_EXCEEDED", ...)."""

    def __init__(self, address: str, code: str, details: str) -> None:
        super().__init__(f"{address}: {code}: {details}")
        self.address = address
        self.code = code
        self.details = details


def _target(address: str) -> str:
    """The address as gRPC writes it, which has a scheme of its own for abstract sockets."""
    return "unix-abstract:" + address.removeprefix("unix:@") if address.startswith("unix:@") else address


def _failed(address: str, error: Any) -> CheckError:
    return CheckError(address, error.code().name, error.details() or "")


def _batch(requests: Iterable[Request]) -> pb.CheckBatchRequest:
    return pb.CheckBatchRequest(requests=[encode(r) for r in requests])


class Client:
    """Blocking. `address` is "HOST:PORT", "unix:PATH" or "unix:@NAME"; `timeout` is a call's deadline in seconds."""

    def __init__(self, address: str = "127.0.0.1:8081", *, timeout: float = 1.0) -> None:
        self.address = address
        self.timeout = timeout
        self._channel = grpc.insecure_channel(_target(address), options=_OPTIONS)
        self._service = services.RateLimitServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
        """Decides and counts one request. Raises CheckError."""
        try:
            return decode(self._service.Check(encode(request), timeout=timeout or self.timeout))
        except grpc.RpcError as error:
            raise _failed(self.address, error) from None

    def check_many(self, requests: Iterable[Request], *, timeout: float | None = None) -> list[Verdict]:
        """Decides up to 100 requests in order; each verdict stands for itself. Raises CheckError."""
        try:
            answer = self._service.CheckBatch(_batch(requests), timeout=timeout or self.timeout)
        except grpc.RpcError as error:
            raise _failed(self.address, error) from None
        return [decode(r) for r in answer.responses]

    def inspect_response(self, request: Request, response: Response, *, timeout: float | None = None) -> Verdict:
        """Decides whether a response may be passed on; counts nothing. Raises CheckError."""
        asked = encode_inspection(request, response)
        try:
            return decode(self._service.InspectResponse(asked, timeout=timeout or self.timeout))
        except grpc.RpcError as error:
            raise _failed(self.address, error) from None

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio. Make it inside the running loop."""

    def __init__(self, address: str = "127.0.0.1:8081", *, timeout: float = 1.0) -> None:
        self.address = address
        self.timeout = timeout
        self._channel = grpc.aio.insecure_channel(_target(address), options=_OPTIONS)
        self._service = services.RateLimitServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
        """Decides and counts one request. Raises CheckError."""
        try:
            return decode(await self._service.Check(encode(request), timeout=timeout or self.timeout))
        except grpc.RpcError as error:
            raise _failed(self.address, error) from None

    async def check_many(self, requests: Iterable[Request], *, timeout: float | None = None) -> list[Verdict]:
        """Decides up to 100 requests in order; each verdict stands for itself. Raises CheckError."""
        try:
            answer = await self._service.CheckBatch(_batch(requests), timeout=timeout or self.timeout)
        except grpc.RpcError as error:
            raise _failed(self.address, error) from None
        return [decode(r) for r in answer.responses]

    async def inspect_response(self, request: Request, response: Response, *, timeout: float | None = None) -> Verdict:
        """Decides whether a response may be passed on; counts nothing. Raises CheckError."""
        asked = encode_inspection(request, response)
        try:
            return decode(await self._service.InspectResponse(asked, timeout=timeout or self.timeout))
        except grpc.RpcError as error:
            raise _failed(self.address, error) from None

    async def close(self) -> None:
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
