"""Who we are to the store: a user and a password, or what a provider says each time a connection begins.

Amazon ElastiCache and MemoryDB take IAM tokens as passwords: a presigned request, good for 15 minutes to log in with.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import importlib
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote, urlencode

from redis.credentials import CredentialProvider

from ratelimitd.errors import SettingsError

TOKEN_SECONDS = 900
IAM = "elasticache:"
SHAPE = "write elasticache:USER:CACHE:REGION[:serverless], or MODULE:NAME"


class Keys(Protocol):
    """AWS credentials, as botocore has them."""

    access_key: str
    secret_key: str
    token: str | None


def provider(text: str) -> CredentialProvider:
    """What --redis-credentials names. Raises SettingsError."""
    if text.startswith(IAM):
        user, cache, region, *kind = [*text.removeprefix(IAM).split(":"), "", ""][:5]
        kind = [word for word in kind if word]
        if not (user and cache and region) or kind not in ([], ["serverless"]) or text.count(":") > 4:
            raise SettingsError(f"--redis-credentials {text!r}: {SHAPE}")
        return IamProvider(user, cache, region, serverless=bool(kind), keys=_aws_keys())
    module, colon, name = text.partition(":")
    if not colon:
        raise SettingsError(f"--redis-credentials {text!r}: {SHAPE}")
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"--redis-credentials {text!r}: {error}") from None
    out = made() if callable(made) else made
    if not isinstance(out, CredentialProvider):
        raise SettingsError(f"--redis-credentials {text!r} is no redis.credentials.CredentialProvider")
    return out


def _aws_keys() -> Callable[[], Keys]:
    """Whatever AWS's own chain finds: environment, web identity, container, instance. botocore renews them."""
    try:
        session = importlib.import_module("botocore.session").get_session()
    except ImportError:
        raise SettingsError("--redis-credentials elasticache: needs botocore: pip install ratelimitd[aws]") from None

    def keys() -> Keys:
        found = session.get_credentials()
        if found is None:
            raise SettingsError("no AWS credentials: see the AWS documentation on how they are found")
        frozen: Keys = found.get_frozen_credentials()
        return frozen

    return keys


class IamProvider(CredentialProvider):
    """A fresh token for each connection; signing one takes microseconds."""

    def __init__(self, user: str, cache: str, region: str, *, serverless: bool, keys: Callable[[], Keys]) -> None:
        self._user, self._cache, self._region, self._keys = user, cache, region, keys
        self._serverless = serverless

    def get_credentials(self) -> tuple[str, str]:
        now = datetime.datetime.now(datetime.UTC)
        signed = presign(self._keys(), self._user, self._cache, self._region, now, serverless=self._serverless)
        return self._user, signed

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


def presign(keys: Keys, user: str, cache: str, region: str, now: datetime.datetime, *, serverless: bool = False) -> str:
    """A SigV4 presigned GET without its scheme (AWS: "Authenticating with IAM", ElastiCache user guide)."""
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    scope = f"{day}/{region}/elasticache/aws4_request"
    query = {
        "Action": "connect",
        "User": user,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(TOKEN_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if serverless:
        query["ResourceType"] = "ServerlessCache"
    if keys.token:
        query["X-Amz-Security-Token"] = keys.token
    text = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
    request = "\n".join(("GET", "/", text, f"host:{cache}", "", "host", hashlib.sha256(b"").hexdigest()))
    signed = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{keys.secret_key}".encode()
    for part in (day, region, "elasticache", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
    return f"{cache}/?{text}&X-Amz-Signature={signature}"
