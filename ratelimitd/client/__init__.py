"""The edge plane: asks a ratelimitd whether a request may pass. Of ours it imports the generated messages only.

from ratelimitd.client import Client, Request

with Client("127.0.0.1:8081") as client:
    verdict = client.check(Request(method="GET", path="/a?id=1", source_address="203.0.113.7"))
    if not verdict.allowed:
        ...
"""

from ratelimitd.client.channel import AsyncClient, CheckError, Client
from ratelimitd.client.request import Request
from ratelimitd.client.response import Response
from ratelimitd.client.verdict import LimitState, RuleMatch, Verdict

__all__ = ["AsyncClient", "CheckError", "Client", "LimitState", "Request", "Response", "RuleMatch", "Verdict"]
