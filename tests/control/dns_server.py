"""A small DNS server over UDP, for tests: it says what it is told to, and remembers what it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

SOA = "ns.example. hostmaster.example. 1 3600 600 86400 120"


class Server:
    """`answers`: name -> "127.0.0.2" | "127.0.0.2 600" (with its TTL) | "nothing" | "servfail" | "silence" | "noise".

    What is not there does not exist. It may be changed while the server runs.
    """

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                return
            reply = self._reply(dns.message.from_wire(data))
            if reply is not None:
                self._socket.sendto(reply, peer)

    def _reply(self, query: dns.message.Message) -> bytes | None:
        question = query.question[0].name
        name = question.to_text(omit_final_dot=True)
        self.asked.append(name)
        said = self.answers.get(name, "")
        if said == "silence":
            return None
        if said == "noise":
            return b"\x00" + query.to_wire()[:9]
        reply = dns.message.make_response(query)
        if said == "servfail":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif said in ("", "nothing"):
            reply.set_rcode(dns.rcode.NOERROR if said else dns.rcode.NXDOMAIN)
            reply.authority.append(dns.rrset.from_text("example.", 300, "IN", "SOA", SOA))
        else:
            address, _, ttl = said.partition(" ")
            reply.answer.append(dns.rrset.from_text(question, int(ttl or 300), "IN", "A", *address.split(",")))
        return reply.to_wire()


@contextmanager
def serving(answers: Mapping[str, str]) -> Iterator[Server]:
    server = Server(answers)
    try:
        yield server
    finally:
        server.close()
