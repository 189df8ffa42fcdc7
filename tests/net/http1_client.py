"""A client of HTTP/1.1 that sends what it is told, wrong or right."""

from __future__ import annotations

from http2_peer import dial


class Client:
    """Sends bytes, reads answers: (status, headers, body)."""

    def __init__(self, address: str) -> None:
        self.socket = dial(address, 5)
        self.input = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def fill(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self.input += data

    def read(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self.input:
            self.fill()
        text, self.input = self.input.split(b"\r\n\r\n", 1)
        first, *lines = text.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        size = 0 if head else int(fields.get("content-length", "0"))
        while len(self.input) < size:
            self.fill()
        body, self.input = self.input[:size], self.input[size:]
        return int(first.split(" ")[1]), fields, body

    def ask(self, data: bytes) -> int:
        self.send(data)
        return self.read()[0]

    def post(self, path: str, body: bytes, content_type: str = "application/json") -> tuple[int, dict[str, str], bytes]:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.send(head.encode() + body)
        return self.read()

    def at_end(self) -> bool:
        """Waits for the server to hang up."""
        try:
            self.fill()
        except (EOFError, ConnectionResetError):
            return not self.input
        return False
