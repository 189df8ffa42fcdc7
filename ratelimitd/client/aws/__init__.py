"""AWS: a Lambda authorizer for API Gateway, and functions behind it or behind an Application Load Balancer.

Of the standard library only; the client to ask with is the caller's choice.
"""

from ratelimitd.client.aws.authorizer import Identity, authorizer
from ratelimitd.client.aws.backend import enforced
from ratelimitd.client.aws.balancer import guarded
from ratelimitd.client.aws.events import Event, EventError, parse

__all__ = ["Event", "EventError", "Identity", "authorizer", "enforced", "guarded", "parse"]
