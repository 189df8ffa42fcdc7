"""The peer: libmodsecurity (PyPI) in process, with the Core Rule Set at paranoia 1.

    python -m benchmarks.peers.modsecurity --crs DIR [--seconds 1] [--repeats 3]

Prints {"engine": name, "requests": {name: {"cpu_us": per request, "blocked": bool}}}. A blocked request ends where it
is blocked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import libmodsecurity

from benchmarks.waf_requests import Request, requests

SETUP = Path(__file__).resolve().parent.parent / "waf.conf"


class Peer:
    def __init__(self, crs: Path) -> None:
        self.engine = libmodsecurity.ModSecurity()
        self.engine.set_log_callback(lambda _: None)
        self.rules = libmodsecurity.RulesSet()
        for file in (SETUP, crs / "crs-setup.conf.example", *sorted((crs / "rules").glob("*.conf"))):
            if self.rules.load_from_uri(str(file)) < 0:
                raise SystemExit(self.rules.get_parser_error())

    def check(self, request: Request) -> bool:
        """Whether it is blocked."""
        transaction = libmodsecurity.Transaction(self.engine, self.rules)
        transaction.process_connection("203.0.113.7", 40000, "127.0.0.1", 80)
        transaction.process_uri(request.uri, request.method, "1.1")
        for name, value in request.headers:
            transaction.add_request_header(name, value)
        transaction.process_request_headers()
        blocked = transaction.intervention() is not None
        if not blocked:
            if request.body:
                transaction.append_request_body(request.body)
            transaction.process_request_body()
            blocked = transaction.intervention() is not None
        transaction.process_logging()
        return blocked


def cpu_us(peer: Peer, request: Request, seconds: float) -> float:
    """CPU microseconds of one request, over `seconds` of them."""
    count, began = 0, time.process_time()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        peer.check(request)
        count += 1
    return (time.process_time() - began) * 1e6 / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crs", type=Path, required=True, help="the Core Rule Set's folder")
    parser.add_argument("--seconds", type=float, default=1, help="of one turn of one request")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the median counts")
    options = parser.parse_args()
    peer = Peer(options.crs)
    figures = {
        request.name: {
            "blocked": peer.check(request),
            "cpu_us": statistics.median(cpu_us(peer, request, options.seconds) for _ in range(options.repeats)),
        }
        for request in requests()
    }
    print(json.dumps({"engine": f"libmodsecurity {libmodsecurity.__version__}", "requests": figures}))


if __name__ == "__main__":
    main()
