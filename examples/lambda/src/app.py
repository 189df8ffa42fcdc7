"""The functions behind the authorizer, and one behind a load balancer."""

import json
import os
from typing import Any

from ratelimitd.client import HttpClient
from ratelimitd.client.aws import enforced, guarded


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Of the REST API: what was denied does not come here, API Gateway has answered it."""
    return {"statusCode": 200, "body": json.dumps({"status": "ok"})}


# Of the HTTP API, whose authorizer lets denied requests through (SOFT_DENY): they are answered 429 here.
http_handler = enforced(handler)

# A target of an Application Load Balancer: checked here, with its body.
if "RATELIMITD_ADDRESS" in os.environ:
    alb_handler = guarded(HttpClient(os.environ["RATELIMITD_ADDRESS"], timeout=0.1), on_error="allow")(handler)
