"""Process settings: frozen, and the only place that reads the environment.

Each setting is a flag of `ratelimitd serve` and a variable: `--max-keys` is RATELIMITD_MAX_KEYS. The flag wins over
the variable, the variable over the default. Lists are comma-separated in a variable. Kubernetes puts RATELIMITD_PORT
and RATELIMITD_SERVICE_* into pods beside a Service called ratelimitd, so no setting may have such a name.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any
from urllib.parse import quote

from ratelimitd.errors import SettingsError

PREFIX = "RATELIMITD_"
CACHE_NAME = "ratelimitd"
MAX_WORKERS = 64  # RL_MAX_WORKERS in net/server.h

_SERVE = "What is served"
_STORE = "The shared store"
_TLS = "TLS"
_LOGS = "Logs"
_LIFE = "Start and stop"
_BOUNDS = "Bounds on callers"


def _setting(
    default: Any,
    help: str,
    panel: str,
    *,
    metavar: str | None = None,
    low: float = 0,
    high: float = 2**32 - 1,
    choices: tuple[str, ...] = (),
) -> Any:
    return field(
        default=default,
        metadata={
            "help": help,
            "panel": panel,
            "metavar": metavar,
            "low": low,
            "high": high,
            "choices": choices,
        },
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """What `serve` runs with. Seconds are floats; sizes are bytes."""

    policy: str = _setting(
        "", "A policy file, or a directory with one domain per file. Unset: the starter policy.", _SERVE, metavar="PATH"
    )
    ratelimit_config: str = _setting(
        "",
        "A directory of envoyproxy/ratelimit's configuration, served beside the policy; env: the one that RUNTIME_ROOT "
        "and RUNTIME_SUBDIRECTORY name. Its other environment variables are then read too.",
        _SERVE,
        metavar="DIR",
    )
    ratelimit_headers: bool = _setting(
        False, "Answers for it carry RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset.", _SERVE
    )
    ratelimit_shadow: bool = _setting(False, "No call for it is over its limits; descriptors still say so.", _SERVE)
    ratelimit_merge: bool = _setting(False, "Its files of one domain belong together.", _SERVE)
    listen: tuple[str, ...] = _setting(
        ("127.0.0.1:8081",),
        "Where checks are answered, in plain text: HOST:PORT or unix:PATH. Repeatable; port 0 takes a free one. "
        "None, when only --listen-tls is given.",
        _SERVE,
        metavar="ADDRESS",
    )
    listen_tls: tuple[str, ...] = _setting(
        (), "Where they are answered over TLS: HOST:PORT or unix:PATH. Repeatable.", _SERVE, metavar="ADDRESS"
    )
    admin: str = _setting(
        "127.0.0.1:6070", "Metrics, health and state over HTTP: HOST:PORT, unix:PATH or off.", _SERVE, metavar="ADDRESS"
    )
    admin_allow_remote: bool = _setting(
        False, "Let the admin address be other than loopback. Needs --admin-token-file or --admin-open.", _SERVE
    )
    admin_token_file: str = _setting(
        "", "Who asks the admin port must bear a token of this file, one a line.", _SERVE, metavar="PATH"
    )
    admin_open: bool = _setting(False, "Let anybody who reaches a remote admin port ask it, without a token.", _SERVE)
    workers: int = _setting(0, "Threads that answer. 0: one per CPU this process may use.", _SERVE, high=MAX_WORKERS)
    max_keys: int = _setting(1_000_000, "Keys counted at once, a hard cap; about 80 bytes each.", _SERVE, low=1024)
    max_bans: int = _setting(
        100_000, "Keys banned by penalties at once; about 370 bytes each.", _SERVE, low=1, high=1 << 24
    )
    cache_dir: str = _setting(
        "auto",
        "Keeps compiled pattern databases, for a quicker start: a directory, off, or auto: the system's or the user's.",
        _SERVE,
        metavar="DIR",
    )

    dns: str = _setting(
        "",
        "The DNS server that blocklists are asked through (@rbl): ADDRESS or ADDRESS:PORT. Unset: the system's.",
        _SERVE,
        metavar="ADDRESS",
    )

    redis: str = _setting(
        "",
        "Shares counts with other nodes: redis://[USER:PASSWORD@]HOST:PORT[,HOST:PORT...][/DATABASE or /SERVICE], "
        "rediss:// for TLS. One server, Sentinels or a cluster: that is found out. Unset: this node counts alone.",
        _STORE,
        metavar="URL",
    )
    redis_prefix: str = _setting("ratelimitd", "What all keys in the store begin with.", _STORE, metavar="TEXT")
    redis_password_file: str = _setting("", "The password is in this file.", _STORE, metavar="FILE")
    redis_credentials: str = _setting(
        "",
        "Where credentials come from: elasticache:USER:CACHE:REGION (IAM), or MODULE:NAME of a redis-py "
        "CredentialProvider.",
        _STORE,
        metavar="PROVIDER",
    )
    redis_ca: str = _setting("", "Certificates that sign the store's. Unset: the system's.", _STORE, metavar="FILE")
    redis_cert: str = _setting("", "Our certificate, when the store wants one.", _STORE, metavar="FILE")
    redis_key: str = _setting("", "Its key.", _STORE, metavar="FILE")
    redis_wait_seconds: float = _setting(
        3.0, "At start: how long to wait for a store that does not answer.", _STORE, high=60
    )
    sync_interval_ms: int = _setting(
        100,
        "Counts are exchanged this often. Nodes x rate x interval is what they may admit too much.",
        _STORE,
        low=10,
        high=10_000,
    )
    hash_key_file: str = _setting(
        "",
        "32 hexadecimal digits that keys are hashed by, the same on all nodes. Unset: what the store keeps or random.",
        _STORE,
        metavar="FILE",
    )

    tls_cert: str = _setting(
        "", "The certificate of --listen-tls with its chain, PEM. Read again when it changes.", _TLS, metavar="PATH"
    )
    tls_key: str = _setting("", "Its private key, PEM.", _TLS, metavar="PATH")
    tls_client_ca: str = _setting(
        "",
        "Mutual TLS: callers need a certificate from one of these authorities, PEM. Unset: anybody may ask.",
        _TLS,
        metavar="PATH",
    )
    tls_client_names: tuple[str, ...] = _setting(
        (),
        "Mutual TLS: and it must bear one of these names: DNS (edge.example.com, *.example.com) or URI "
        "(spiffe://prod/edge, spiffe://prod/*). Repeatable.",
        _TLS,
        metavar="NAME",
    )

    log_level: str = _setting(
        "info", "The least severe line that is logged.", _LOGS, choices=("debug", "info", "warning", "error")
    )
    log_format: str = _setting(
        "auto", "auto: console on a terminal, JSON elsewhere.", _LOGS, choices=("auto", "json", "console")
    )
    log_sample: int = _setting(128, "One in N allowed checks is logged and seen by /top. 0: none.", _LOGS)
    log_allows: int = _setting(
        10, "Sampled allows logged per second and worker, about: busy servers sample less.", _LOGS, low=1
    )
    log_denials: int = _setting(
        100, "Denials logged per second and worker, at most, and as many in the shadow; the others are counted.", _LOGS
    )
    log_values: str = _setting(
        "redacted",
        "What rules matched, and values of queries, as logged: redacted (length and shape), clear or off.",
        _LOGS,
        choices=("redacted", "clear", "off"),
    )

    drain_delay_seconds: float = _setting(
        0.0, "On SIGTERM: first say NOT_SERVING this long, so that callers leave by themselves.", _LIFE, high=3600
    )
    drain_seconds: float = _setting(
        30.0, "On SIGTERM: then wait this long for connections to finish.", _LIFE, high=3600
    )

    max_connections: int = _setting(10_000, "Open connections; more are closed at once.", _BOUNDS, low=1)
    max_streams: int = _setting(1024, "Concurrent calls of one connection.", _BOUNDS, low=1)
    max_message: int = _setting(4 << 20, "Bytes of one message, after decompression.", _BOUNDS, low=1024)
    max_header_list: int = _setting(16 << 10, "Bytes of the headers of one call.", _BOUNDS, low=1024)
    max_batch: int = _setting(100, "Requests in one CheckBatch.", _BOUNDS, low=1)
    max_output: int = _setting(
        1 << 20, "Bytes waiting for a slow reader before we stop reading from it.", _BOUNDS, low=1024
    )
    max_unread: int = _setting(
        64 << 20,
        "Bytes of unread answers and calls in progress per worker; beyond, the largest and slowest readers are closed.",
        _BOUNDS,
        low=1024,
    )
    max_wait_seconds: float = _setting(
        0.5, "A check that has waited longer for its worker is refused, not decided. 0: any.", _BOUNDS, high=3600
    )
    idle_timeout_seconds: float = _setting(0.0, "Closes a connection without a call after this. 0: never.", _BOUNDS)
    stall_timeout_seconds: float = _setting(
        10.0, "Closes a connection with a half-sent message or an unread answer.", _BOUNDS
    )
    max_connection_age_seconds: float = _setting(
        0.0, "Asks a connection to reconnect at this age, give or take 10 %. 0: never.", _BOUNDS
    )
    connection_age_grace_seconds: float = _setting(10.0, "How long its calls may then take.", _BOUNDS)

    # No flags: what systemd sets, and where --cache-dir auto looks.
    notify_socket: str = field(default="", metadata={"variable": "NOTIFY_SOCKET"})
    cache_candidates: tuple[str, ...] = ()


def flags() -> list[Field[Any]]:
    """The settings that are flags, in the order of --help."""
    return [f for f in fields(Settings) if "panel" in f.metadata]


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return PREFIX + name.upper()


def _parse(f: Field[Any], text: str) -> Any:
    kind: type = type(f.default)
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off", ""):
            return False
        raise ValueError("use true or false")
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    return text.strip()


def _validate(f: Field[Any], value: Any) -> None:
    """Raises ValueError with what would be accepted."""
    low, high = f.metadata["low"], f.metadata["high"]
    if isinstance(value, int | float) and not isinstance(value, bool) and not low <= value <= high:
        raise ValueError(f"must be from {low} to {high}")
    choices = f.metadata["choices"]
    if choices and value not in choices:
        close = difflib.get_close_matches(str(value), choices, 1)
        raise ValueError("must be " + ", ".join(choices) + (f" (did you mean {close[0]}?)" if close else ""))
    if isinstance(value, tuple) and not value:
        raise ValueError("needs at least one value")


def resolve(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Flags (None: not given) over the environment over the defaults. Raises SettingsError with every fault."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    faults: list[str] = []
    if given.get("ratelimit_config") or environ.get(variable("ratelimit_config")):
        environ = {**foreign(environ, faults), **environ}
    for f in flags():
        value, source = given.get(f.name), flag(f.name)
        try:
            if value is None and variable(f.name) in environ:
                source = variable(f.name)
                value = _parse(f, environ[source])
            if f.name == "ratelimit_config" and value == "env":
                value = foreign_directory(environ)
            if value is None:
                continue
            _validate(f, value)
        except ValueError as error:
            text = environ.get(source, value)
            faults.append(f"{source}={text!r}: {error}")
            continue
        values[f.name] = value
    if faults:
        raise SettingsError("\n".join(faults))
    if "listen_tls" in values and "listen" not in values:
        values["listen"] = ()
    notify_socket = environ.get("NOTIFY_SOCKET", "")
    return Settings(**values, notify_socket=notify_socket, cache_candidates=cache_candidates(environ))


def foreign(environ: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    """What the environment variables of envoyproxy/ratelimit say, as ours; docs/migration.md has the list."""
    found: dict[str, str] = {}

    def take(setting: str, value: str) -> None:
        found[variable(setting)] = value

    levels = {"trace": "debug", "warn": "warning", "fatal": "error", "panic": "error"}
    if level := environ.get("LOG_LEVEL", "").lower():
        take("log_level", levels.get(level, level))
    if environ.get("LOG_FORMAT"):
        take("log_format", "json" if environ["LOG_FORMAT"].lower() == "json" else "console")
    for setting, addresses in _foreign_listeners(environ).items():
        take(setting, ",".join(dict.fromkeys(addresses)))
    if environ.get("DEBUG_PORT"):
        take("admin", f"{environ.get('DEBUG_HOST') or '127.0.0.1'}:{environ['DEBUG_PORT']}")
    for name, setting in (
        ("LIMIT_RESPONSE_HEADERS_ENABLED", "ratelimit_headers"),
        ("SHADOW_MODE", "ratelimit_shadow"),
        ("MERGE_DOMAIN_CONFIG", "ratelimit_merge"),
        *(_FOREIGN_TLS if _is_true(environ, "GRPC_SERVER_USE_TLS") else ()),
        *(_FOREIGN_REDIS_TLS if _is_true(environ, "REDIS_TLS") else ()),
    ):
        if environ.get(name):
            take(setting, environ[name])
    for name, setting in (
        ("GRPC_MAX_CONNECTION_AGE", "max_connection_age_seconds"),
        ("GRPC_MAX_CONNECTION_AGE_GRACE", "connection_age_grace_seconds"),
    ):
        if environ.get(name):
            try:
                take(setting, str(_go_seconds(environ[name])))
            except ValueError as error:
                faults.append(f"{name}={environ[name]!r}: {error}")
    if environ.get("REDIS_URL") and environ.get("BACKEND_TYPE", "redis").lower() == "redis":
        take("redis", _foreign_redis(environ))
    return found


_FOREIGN_TLS = (
    ("GRPC_SERVER_TLS_CERT", "tls_cert"),
    ("GRPC_SERVER_TLS_KEY", "tls_key"),
    ("GRPC_CLIENT_TLS_CACERT", "tls_client_ca"),
    ("GRPC_CLIENT_TLS_SAN", "tls_client_names"),
)
_FOREIGN_REDIS_TLS = (
    ("REDIS_TLS_CACERT", "redis_ca"),
    ("REDIS_TLS_CLIENT_CERT", "redis_cert"),
    ("REDIS_TLS_CLIENT_KEY", "redis_key"),
)


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    """As Go's strconv.ParseBool."""
    return environ.get(name, "").lower() in ("1", "t", "true")


def _foreign_listeners(environ: Mapping[str, str]) -> dict[str, list[str]]:
    """Where it listens for gRPC, which may be TLS, and for HTTP, which is plain."""
    found: dict[str, list[str]] = {}
    tls = _is_true(environ, "GRPC_SERVER_USE_TLS")

    def take(host: str, port: str, setting: str) -> None:
        if port:
            host = host or "0.0.0.0"
            found.setdefault(setting, []).append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    if socket := environ.get("GRPC_UDS"):
        found["listen_tls" if tls else "listen"] = [f"unix:{socket}"]
    elif tls:
        take(environ.get("GRPC_HOST", ""), environ.get("GRPC_PORT") or "8081", "listen_tls")
    else:
        take(environ.get("GRPC_HOST", ""), environ.get("GRPC_PORT", ""), "listen")
    take(environ.get("HOST", ""), environ.get("PORT", ""), "listen")
    return found


def foreign_directory(environ: Mapping[str, str]) -> str:
    """Where envoyproxy/ratelimit reads its configuration. Raises ValueError."""
    root = environ.get("RUNTIME_ROOT", "/srv/runtime_data/current")
    below = os.path.join(root, environ.get("RUNTIME_SUBDIRECTORY", ""), environ.get("RUNTIME_APPDIRECTORY", "config"))
    if not os.path.isdir(below):
        raise ValueError(f"{below} is no directory: set RUNTIME_ROOT and RUNTIME_SUBDIRECTORY")
    return below


def _foreign_redis(environ: Mapping[str, str]) -> str:
    """REDIS_TYPE needs no saying, but for the master's name that stands first among Sentinels."""
    url = environ["REDIS_URL"].strip()
    scheme = "rediss" if _is_true(environ, "REDIS_TLS") else "redis"
    if "://" in url:
        return url
    login = environ.get("REDIS_AUTH", "")
    if login:
        login = (quote(login, safe=":") if ":" in login else ":" + quote(login, safe="")) + "@"
    service = ""
    if environ.get("REDIS_TYPE", "").lower() == "sentinel":
        service, _, url = url.partition(",")
        service = "/" + service
    return f"{scheme}://{login}{url}{service}"


_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9}


def _go_seconds(text: str) -> float:
    """A Go duration such as 1h30m."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|ns|m|s)", text)
    if not parts or "".join(a + b for a, b in parts) != text.strip():
        raise ValueError("not a duration such as 30s or 1h30m")
    return sum(float(number) * _GO_UNITS[unit] for number, unit in parts)


def cache_candidates(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where --cache-dir auto keeps databases, best first: systemd's CacheDirectory, the user's cache, the system's."""
    by_systemd = environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    of_user = environ.get("XDG_CACHE_HOME", "")
    if not of_user.startswith("/"):
        of_user = environ["HOME"] + "/.cache" if environ.get("HOME", "").startswith("/") else ""
    user = [f"{of_user}/{CACHE_NAME}"] if of_user else []
    system = [f"/var/cache/{CACHE_NAME}"]
    # sudo may keep the HOME of who calls: root looks there last.
    return (*([by_systemd] if by_systemd else ()), *(system + user if os.geteuid() == 0 else user + system))


def cache_settings(given: object, environ: Mapping[str, str] | None = None) -> tuple[str, tuple[str, ...]]:
    """`cache_dir` and `cache_candidates` of commands other than `serve`: theirs, or what the environment says."""
    environ = os.environ if environ is None else environ
    said = str(given) if given else environ.get(variable("cache_dir")) or "auto"
    return said, cache_candidates(environ)


def token_file(given: object, environ: Mapping[str, str] | None = None) -> str:
    """`admin_token_file` of commands that ask an admin port: theirs, or what the environment says."""
    environ = os.environ if environ is None else environ
    return str(given) if given else environ.get(variable("admin_token_file"), "")


def misspelt(environ: Mapping[str, str] | None = None) -> list[str]:
    """One line for each RATELIMITD_* variable that no setting reads but that looks like one that is read."""
    environ = os.environ if environ is None else environ
    known = [variable(f.name) for f in flags()]
    lines = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, 1, cutoff=0.85)
            if close:
                lines.append(f"{name} is not a setting: did you mean {close[0]}?")
    return lines


def usable_cpus() -> int:
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0))))


def server_options(settings: Settings) -> dict[str, int]:
    """The fields of rl_server_options (net/server.h) that a caller may set."""
    return {
        "max_connections": settings.max_connections,
        "max_streams": settings.max_streams,
        "max_message": settings.max_message,
        "max_header_list": settings.max_header_list,
        "max_batch": settings.max_batch,
        "max_output": settings.max_output,
        "max_unread": settings.max_unread,
        "max_wait_ms": round(settings.max_wait_seconds * 1000),
        "idle_timeout_ms": round(settings.idle_timeout_seconds * 1000),
        "stall_timeout_ms": round(settings.stall_timeout_seconds * 1000),
        "max_connection_age_ms": round(settings.max_connection_age_seconds * 1000),
        "max_connection_age_grace_ms": round(settings.connection_age_grace_seconds * 1000),
    }
