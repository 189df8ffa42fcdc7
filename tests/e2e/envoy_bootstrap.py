"""The configuration of a real Envoy: one listener for each way to set up ext_authz."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

Node = dict[str, Any]
TYPE = "type.googleapis.com/envoy.extensions"
EXT_AUTHZ = "envoy.filters.http.ext_authz"
JWT_AUTHN = "envoy.filters.http.jwt_authn"
JWT_SECRET = b"known to the tests and to their Envoy"
BODY_LIMIT = 1024  # bytes of a body that Envoy sends to ratelimitd
HEALTH_CHECK = {
    "timeout": "1s",
    "interval": "0.1s",
    "no_traffic_interval": "0.1s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
    "grpc_health_check": {},
}


def typed(kind: str, **fields: Any) -> Node:
    return {"@type": f"{TYPE}.{kind}", **fields}


def ext_authz(cluster: str, timeout: str = "5s", **fields: Any) -> Node:
    """As the documentation of ratelimitd tells its users to write it."""
    return typed(
        "filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        grpc_service={"envoy_grpc": {"cluster_name": cluster}, "timeout": timeout},
        with_request_body={
            "max_request_bytes": BODY_LIMIT,
            "allow_partial_message": True,
            "pack_as_bytes": True,
        },
        **fields,
    )


def variants() -> dict[str, Node]:
    """Listener name -> its ext_authz filter."""
    return {
        "plain": ext_authz("ratelimitd"),
        "raw_headers": ext_authz("ratelimitd", encode_raw_headers=True),
        "closed": ext_authz("refused"),
        "closed_503": ext_authz("silent", timeout="0.1s", status_on_error={"code": "ServiceUnavailable"}),
        "jwt": ext_authz("ratelimitd", metadata_context_namespaces=[JWT_AUTHN]),
        "open": ext_authz("refused", failure_mode_allow=True, failure_mode_allow_header_add=True),
    }


def jwt_authn() -> Node:
    """Verifies tokens signed with JWT_SECRET, and keeps their claims for the filters behind it."""
    key = {"kty": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(JWT_SECRET).rstrip(b"=").decode()}
    provider = {"local_jwks": {"inline_string": json.dumps({"keys": [key]})}, "payload_in_metadata": "payload"}
    return typed(
        "filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"tests": provider},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "tests"}}],
    )


def route(prefix: str, **per_route: Any) -> Node:
    made: Node = {"match": {"prefix": prefix}, "route": {"cluster": "upstream"}}
    if per_route:
        made["typed_per_filter_config"] = {
            EXT_AUTHZ: typed("filters.http.ext_authz.v3.ExtAuthzPerRoute", **per_route),
        }
    return made


def routes() -> list[Node]:
    return [
        route("/gold/", check_settings={"context_extensions": {"plan": "gold"}}),
        route("/strict/", check_settings={"context_extensions": {"ratelimitd_domain": "strict"}}),
        route("/unguarded/", disabled=True),
        route("/"),
    ]


def listener(name: str, authz: Node, access_log: Path) -> Node:
    log = typed(
        "access_loggers.file.v3.FileAccessLog",
        path=str(access_log),
        log_format={
            "json_format": {
                "id": "%REQ(X-TEST-ID)%",
                "status": "%RESPONSE_CODE%",
                "authz": f"%DYNAMIC_METADATA({EXT_AUTHZ})%",
            }
        },
    )
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        use_remote_address=True,
        # For a loopback peer Envoy would append the address of its own machine: the test stands for a balancer instead.
        skip_xff_append=True,
        access_log=[{"name": "file", "typed_config": log}],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes()}]},
        http_filters=[
            *([{"name": JWT_AUTHN, "typed_config": jwt_authn()}] if name == "jwt" else []),
            {"name": EXT_AUTHZ, "typed_config": authz},
            {"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router")},
        ],
    )
    return {
        "name": name,
        "address": socket_address(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def socket_address(port: int) -> Node:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, *ports: int, http2: bool) -> Node:
    endpoints = [{"endpoint": {"address": socket_address(port)}} for port in ports]
    made: Node = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if http2:
        options = typed("upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}})
        made["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    return made


def bootstrap(*, ratelimitd: list[int], upstream: int, refused: int, silent: int, access_log: Path) -> Node:
    """Ports in, an Envoy bootstrap out."""
    return {
        "admin": {"address": socket_address(0)},
        "static_resources": {
            "listeners": [listener(name, authz, access_log) for name, authz in variants().items()],
            "clusters": [
                cluster("upstream", upstream, http2=False),
                {**cluster("ratelimitd", *ratelimitd, http2=True), "health_checks": [HEALTH_CHECK]},
                cluster("refused", refused, http2=True),
                cluster("silent", silent, http2=True),
            ],
        },
    }


def guarded(*, ratelimitd: int, upstream: int) -> Node:
    """An Envoy with one listener, "guarded", that asks ratelimitd for everything."""
    clusters = [cluster("upstream", upstream, http2=False), cluster("ratelimitd", ratelimitd, http2=True)]
    guard = listener("guarded", ext_authz("ratelimitd"), Path("/dev/null"))
    return {
        "admin": {"address": socket_address(0)},
        "static_resources": {"listeners": [guard], "clusters": clusters},
    }
