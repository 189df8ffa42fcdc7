"""How the client's address is found."""

from __future__ import annotations

from ratelimitd.policy import names
from ratelimitd.policy.checks.findings import Findings


def check_client(f: Findings) -> None:
    client = f.spec.client
    if client.trusted_proxies and client.trusted_hops:
        f.error(
            "P314",
            "trusted_proxies and trusted_hops exclude each other",
            ("client", "trusted_hops"),
            "keep one",
            key=True,
        )
    trusted = client.trusted_proxies or client.trusted_hops
    known = f.whole(("client", "trusted_proxies"), ("client", "trusted_hops"))
    if client.header.lower() != "x-forwarded-for" and not trusted and known:
        hint = "say who sets it: trusted_proxies or trusted_hops"
        f.warning("P404", "header has no effect: nobody is trusted to set it", ("client", "header"), hint, key=True)
    if names.parse_source(f"header.{client.header}", key=False) is None:
        f.error("P206", f"'{client.header[:64]}' is not a header name", ("client", "header"))
