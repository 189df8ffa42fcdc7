"""An HTTP/2 peer that does as it is told, wrong or right: frames by hand, over a real socket."""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from ratelimitd.v1 import ratelimit_pb2 as pb

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CHECK = "/ratelimitd.v1.RateLimitService/Check"

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11
ABUSE = {
    name: i
    for i, name in enumerate(
        ["protocol_error", "header_bomb", "rapid_reset", "control_flood", "oversized", "malformed", "stalled", "unread"]
    )
}


def framed(message: bytes, *, compressed: int = 0) -> bytes:
    """A gRPC message with its prefix."""
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


def check_request(path: str = "/a", **fields: Any) -> bytes:
    return framed(pb.CheckRequest(method="GET", path=path, **fields).SerializeToString())


def dial(address: str, timeout: float) -> socket.socket:
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        path = address.removeprefix("unix:")
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        return sock
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout)


class Answer:
    """What a stream has got so far."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.body = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> str:
        return self.headers[0][":status"]

    @property
    def grpc_status(self) -> int:
        return int(self.headers[-1]["grpc-status"])

    @property
    def grpc_message(self) -> str:
        return self.headers[-1].get("grpc-message", "")

    def check(self) -> pb.CheckResponse:
        return pb.CheckResponse.FromString(self.body[5:])


class Peer:
    """Keeps what it hears: `frames`, answers by stream, `goaway`, `eof`."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 5,
        preface: bytes = PREFACE,
        settings: dict[int, int] | None = {},  # noqa: B006
        receive_buffer: int | None = None,
    ) -> None:
        self.socket = dial(address, timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.input = b""
        self.frames: list[Frame] = []
        self.answers: defaultdict[int, Answer] = defaultdict(Answer)
        self.goaways: list[GoAwayFrame] = []
        self.eof = False
        self.answer_pings = True
        first = preface
        if settings is not None:
            first += SettingsFrame(0, settings=settings).serialize()
        if first:
            self.send(first)

    def close(self) -> None:
        self.socket.close()

    def send(self, *frames: Frame | bytes) -> None:
        self.socket.sendall(b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames))

    def try_send(self, data: bytes) -> bool:
        """False when the server has hung up."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.eof = True
        return not self.eof

    def headers(
        self,
        stream: int,
        path: str = CHECK,
        *,
        extra: Iterable[tuple[str, str]] = (),
        method: str = "POST",
        content_type: str | None = "application/grpc",
        end: bool = False,
    ) -> HeadersFrame:
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test"), ("te", "trailers")]
        if content_type is not None:
            fields.append(("content-type", content_type))
        frame = HeadersFrame(stream, data=self.encoder.encode([*fields, *extra]), flags=["END_HEADERS"])
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def data(self, stream: int, data: bytes, *, end: bool = True) -> DataFrame:
        return DataFrame(stream, data=data, flags=["END_STREAM"] if end else [])

    def call(self, stream: int, body: bytes | None = None, path: str = CHECK, **options: Any) -> bytes:
        """The frames of one unary call."""
        body = check_request() if body is None else body
        return self.headers(stream, path, **options).serialize() + self.data(stream, body).serialize()

    def answer(self, stream: int) -> Answer:
        """Waits until the stream has ended."""
        self.read_until(lambda: self.answers[stream].ended)
        return self.answers[stream]

    def goaway(self) -> int:
        """Waits for the last GOAWAY and the end of the connection: its error code."""
        self.read_until(lambda: self.eof)
        return self.goaways[-1].error_code

    def read_until(self, done: Callable[[], bool], timeout: float = 5) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            assert not self.eof, "the server hung up"
            left = deadline - time.monotonic()
            assert left > 0, "nothing came"
            self.read(left)

    def read(self, timeout: float) -> None:
        """One read from the socket."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.eof = True
        self.input += data
        while len(self.input) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.input[:9]))
            if len(self.input) < 9 + length:
                break
            frame.parse_body(memoryview(self.input[9 : 9 + length]))
            self.input = self.input[9 + length :]
            self.take(frame)

    def take(self, frame: Frame) -> None:
        self.frames.append(frame)
        answer = self.answers[frame.stream_id]
        if isinstance(frame, HeadersFrame):
            answer.headers.append(dict(self.decoder.decode(frame.data)))
        elif isinstance(frame, DataFrame):
            answer.body += frame.data
        elif isinstance(frame, RstStreamFrame):
            answer.reset = frame.error_code
            answer.ended = True
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append(frame)
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags and self.answer_pings:
            self.try_send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
        if "END_STREAM" in frame.flags:
            answer.ended = True

    def window(self, stream: int, increment: int) -> WindowUpdateFrame:
        return WindowUpdateFrame(stream, window_increment=increment)


def wait_for(condition: Callable[[], Any], timeout: float = 5) -> Any:
    """Polls until the condition holds; returns what it gave."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)
    return value
