"""The authorizer of template.yaml: one function for its REST, HTTP and WebSocket APIs."""

import os

from ratelimitd.client import HttpClient
from ratelimitd.client.aws import Event, Identity, authorizer

# Made once, kept while the function is warm. Without an answer in 100 ms, ON_ERROR decides.
client = HttpClient(os.environ["RATELIMITD_ADDRESS"], timeout=0.1)

# Tokens that we know, for this example: yours are looked up or verified.
PLANS = {"Bearer gold-1": ("anna", "gold"), "Bearer free-1": ("ben", "free")}


def authenticate(event: Event) -> Identity | None:
    """Who asks. None is answered 401; who sends no token is a guest, whom the policy limits by address."""
    if not event.token:
        return Identity(event.source_address or "guest")
    known = PLANS.get(event.token)
    return known and Identity(known[0], attributes={"plan": known[1]}, context={"plan": known[1]})


handler = authorizer(
    client,
    on_error=os.environ.get("ON_ERROR", "deny"),  # type: ignore[arg-type]
    authenticate=authenticate,
    soft_deny=os.environ.get("SOFT_DENY") == "true",
)
