"""Settings: a flag wins over a variable, a variable over the default, and every fault is told."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from ratelimitd import settings
from ratelimitd.errors import SettingsError


def test_defaults_need_no_environment() -> None:
    resolved = settings.resolve({}, {})
    assert resolved == settings.Settings(cache_candidates=settings.cache_candidates({}))
    assert resolved.listen == ("127.0.0.1:8081",)
    assert resolved.admin == "127.0.0.1:6070"


@pytest.mark.parametrize(
    ("flag", "variable", "expected"),
    [(None, None, 1_000_000), (None, "2000", 2000), (3000, "2000", 3000), (3000, None, 3000)],
)
def test_flag_over_variable_over_default(flag: int | None, variable: str | None, expected: int) -> None:
    environ = {} if variable is None else {"RATELIMITD_MAX_KEYS": variable}
    assert settings.resolve({"max_keys": flag}, environ).max_keys == expected


def test_every_flag_has_a_variable_of_its_own_type() -> None:
    samples = {
        int: ("2048", 2048),
        float: ("1.5", 1.5),
        str: ("x", "x"),
        bool: ("true", True),
        tuple: ("a:1, unix:/b", ("a:1", "unix:/b")),
    }
    for f in settings.flags():
        text, value = samples[type(f.default)]
        if f.metadata["choices"]:
            text = value = f.metadata["choices"][-1]
        if f.name == "workers":
            text, value = "7", 7
        assert getattr(settings.resolve({}, {settings.variable(f.name): text}), f.name) == value


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("Yes", True), ("off", False), ("", False)])
def test_booleans(text: str, expected: bool) -> None:
    assert settings.resolve({}, {"RATELIMITD_ADMIN_ALLOW_REMOTE": text}).admin_allow_remote is expected


def test_every_fault_is_told_at_once_and_names_its_source() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.resolve(
            {"workers": 65}, {"RATELIMITD_MAX_KEYS": "many", "RATELIMITD_LOG_LEVEL": "inof", "RATELIMITD_LISTEN": " , "}
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert any(line.startswith("--workers=65") for line in lines)
    assert any(line.startswith("RATELIMITD_MAX_KEYS='many'") for line in lines)
    assert any("did you mean info?" in line for line in lines)
    assert any(line.startswith("RATELIMITD_LISTEN") for line in lines)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e300"])
def test_seconds_are_finite(text: str) -> None:
    with pytest.raises(SettingsError):
        settings.resolve({}, {"RATELIMITD_DRAIN_SECONDS": text})


def test_a_variable_that_nobody_reads_but_looks_like_one_is_told() -> None:
    environ = {"RATELIMITD_MAX_KEY": "1", "RATELIMITD_SHARED": "/x", "RATELIMITD_PORT_8081_TCP": "tcp://10.0.0.1:8081"}
    assert settings.misspelt(environ) == ["RATELIMITD_MAX_KEY is not a setting: did you mean RATELIMITD_MAX_KEYS?"]


def test_no_setting_collides_with_what_kubernetes_injects() -> None:
    """A Service called ratelimitd puts RATELIMITD_PORT, RATELIMITD_PORT_* and RATELIMITD_SERVICE_* into every pod
    beside it.
    """
    for f in settings.flags():
        assert f.name != "port"
        assert not f.name.startswith(("port_", "service_"))


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.Settings().workers = 3  # type: ignore[misc]


def test_server_options_are_whole_milliseconds() -> None:
    options = settings.server_options(settings.resolve({"idle_timeout_seconds": 0.25}, {}))
    assert options["idle_timeout_ms"] == 250
    assert all(type(value) is int for value in options.values())


def test_the_environment_of_envoyproxy_ratelimit_is_read_where_its_configuration_is() -> None:
    theirs = {
        "LOG_LEVEL": "WARN",
        "GRPC_PORT": "8081",
        "PORT": "8080",
        "DEBUG_PORT": "6070",
        "SHADOW_MODE": "true",
        "LIMIT_RESPONSE_HEADERS_ENABLED": "true",
        "GRPC_MAX_CONNECTION_AGE": "1h30m",
        "REDIS_URL": "mymaster,a:1,b:2",
        "REDIS_TYPE": "SENTINEL",
        "REDIS_AUTH": "p@ss",
        "RATELIMITD_ADMIN": "off",
    }
    assert settings.resolve({}, theirs) == settings.resolve({}, {"RATELIMITD_ADMIN": "off"})
    found = settings.resolve({"ratelimit_config": "config", "log_level": "error"}, theirs)
    assert (found.log_level, found.admin) == ("error", "off")
    assert found.listen == ("0.0.0.0:8081", "0.0.0.0:8080")
    assert (found.ratelimit_shadow, found.ratelimit_headers, found.ratelimit_merge) == (True, True, False)
    assert found.max_connection_age_seconds == 5400
    assert found.redis == "redis://:p%40ss@a:1,b:2/mymaster"
    with pytest.raises(SettingsError, match="RUNTIME_ROOT"):
        settings.resolve({}, {"RATELIMITD_RATELIMIT_CONFIG": "env", "RUNTIME_ROOT": "/nowhere"})
    with pytest.raises(SettingsError, match="GRPC_MAX_CONNECTION_AGE='soon'"):
        settings.resolve({"ratelimit_config": "config"}, {"GRPC_MAX_CONNECTION_AGE": "soon"})


def test_the_tls_of_envoyproxy_ratelimit_is_ours() -> None:
    theirs = {
        "RATELIMITD_RATELIMIT_CONFIG": "config",
        "GRPC_SERVER_TLS_CERT": "tls.crt",
        "GRPC_SERVER_TLS_KEY": "tls.key",
        "GRPC_CLIENT_TLS_CACERT": "clients.crt",
        "GRPC_CLIENT_TLS_SAN": "edge.example.com",
        "GRPC_HOST": "::",
        "PORT": "8080",
        "REDIS_URL": "a:1",
        "REDIS_TLS_CACERT": "ca.crt",
        "REDIS_TLS_CLIENT_CERT": "redis.crt",
        "REDIS_TLS_CLIENT_KEY": "redis.key",
    }
    off = settings.resolve({}, theirs)
    assert (off.listen, off.listen_tls, off.tls_cert, off.redis, off.redis_ca) == (
        ("0.0.0.0:8080",), (), "", "redis://a:1", "",
    )  # fmt: skip
    on = settings.resolve({}, theirs | {"GRPC_SERVER_USE_TLS": "true", "REDIS_TLS": "1"})
    assert (on.listen, on.listen_tls) == (("0.0.0.0:8080",), ("[::]:8081",))
    assert (on.tls_cert, on.tls_key, on.tls_client_ca) == ("tls.crt", "tls.key", "clients.crt")
    assert on.tls_client_names == ("edge.example.com",)
    assert (on.redis, on.redis_ca, on.redis_cert, on.redis_key) == ("rediss://a:1", "ca.crt", "redis.crt", "redis.key")
    # Without a port for HTTP nothing is plain; a socket stands in the place of the port.
    alone = {name: value for name, value in theirs.items() if name != "PORT"} | {"GRPC_SERVER_USE_TLS": "t"}
    assert settings.resolve({}, alone | {"GRPC_UDS": "/run/rl.sock"}).listen_tls == ("unix:/run/rl.sock",)
    assert settings.resolve({}, alone).listen == ()
    plain = alone | {"GRPC_UDS": "/run/rl.sock", "GRPC_SERVER_USE_TLS": "false"}
    assert settings.resolve({}, plain).listen == ("unix:/run/rl.sock",)


def test_every_variable_of_envoyproxy_ratelimit_is_on_the_migration_page() -> None:
    """A `*` there stands for the rest of a name."""
    page = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
    told = [re.escape(name).replace(r"\*", ".*") for name in re.findall(r"`([A-Z][A-Z_*]+)`", page)]
    missing = [name for name in THEIRS.split() if not any(re.fullmatch(pattern, name) for pattern in told)]
    assert missing == []


# What its settings and its README name.
THEIRS = """
PROTO HOST PORT DEBUG_HOST DEBUG_PORT GRPC_UDS GRPC_HOST GRPC_PORT GRPC_MAX_CONNECTION_AGE GRPC_MAX_CONNECTION_AGE_GRACE
GRPC_SERVER_USE_TLS GRPC_SERVER_TLS_CERT GRPC_SERVER_TLS_KEY GRPC_CLIENT_TLS_CACERT GRPC_CLIENT_TLS_SAN LOG_LEVEL
LOG_FORMAT CONFIG_TYPE FORCE_START_WITHOUT_INITIAL_CONFIG CONFIG_GRPC_XDS_NODE_ID CONFIG_GRPC_XDS_NODE_METADATA
CONFIG_GRPC_XDS_SERVER_URL CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS
CONFIG_GRPC_XDS_SERVER_USE_TLS CONFIG_GRPC_XDS_CLIENT_TLS_CERT CONFIG_GRPC_XDS_CLIENT_TLS_KEY
CONFIG_GRPC_XDS_SERVER_TLS_CACERT CONFIG_GRPC_XDS_SERVER_TLS_SAN XDS_CLIENT_BACKOFF_INITIAL_INTERVAL
XDS_CLIENT_BACKOFF_MAX_INTERVAL XDS_CLIENT_BACKOFF_RANDOM_FACTOR XDS_CLIENT_BACKOFF_JITTER USE_DOG_STATSD
USE_DOG_STATSD_MOGRIFIERS USE_STATSD STATSD_HOST STATSD_PORT EXTRA_TAGS STATS_FLUSH_INTERVAL DISABLE_STATS
USE_PROMETHEUS PROMETHEUS_ADDR PROMETHEUS_PATH PROMETHEUS_MAPPER_YAML RUNTIME_ROOT RUNTIME_SUBDIRECTORY
RUNTIME_APPDIRECTORY RUNTIME_IGNOREDOTFILES RUNTIME_WATCH_ROOT EXPIRATION_JITTER_MAX_SECONDS LOCAL_CACHE_SIZE_IN_BYTES
NEAR_LIMIT_RATIO CACHE_KEY_PREFIX BACKEND_TYPE STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT LIMIT_RESPONSE_HEADERS_ENABLED
LIMIT_LIMIT_HEADER LIMIT_REMAINING_HEADER LIMIT_RESET_HEADER LIMIT_REQUEST_HEADERS_ENABLED LIMIT_REQUEST_LIMIT_HEADER
LIMIT_REQUEST_REMAINING_HEADER LIMIT_REQUEST_RESET_HEADER LIMIT_PER_UNIT_HEADERS_ENABLED
HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED REDIS_SOCKET_TYPE REDIS_TYPE REDIS_URL REDIS_POOL_SIZE REDIS_AUTH
REDIS_SENTINEL_AUTH REDIS_TLS REDIS_TLS_CLIENT_CERT REDIS_TLS_CLIENT_KEY REDIS_TLS_CACERT
REDIS_TLS_SKIP_HOSTNAME_VERIFICATION REDIS_PIPELINE_WINDOW REDIS_PIPELINE_LIMIT REDIS_USE_EXPLICIT_PIPELINE
REDIS_PERSECOND REDIS_PERSECOND_SOCKET_TYPE REDIS_PERSECOND_TYPE REDIS_PERSECOND_URL REDIS_PERSECOND_POOL_SIZE
REDIS_PERSECOND_AUTH REDIS_PERSECOND_SENTINEL_AUTH REDIS_PERSECOND_TLS REDIS_PERSECOND_PIPELINE_WINDOW
REDIS_PERSECOND_PIPELINE_LIMIT REDIS_PERSECOND_USE_EXPLICIT_PIPELINE REDIS_HEALTH_CHECK_ACTIVE_CONNECTION REDIS_TIMEOUT
REDIS_PERSECOND_TIMEOUT REDIS_POOL_ON_EMPTY_BEHAVIOR REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR MEMCACHE_HOST_PORT
MEMCACHE_MAX_IDLE_CONNS MEMCACHE_SRV MEMCACHE_SRV_REFRESH MEMCACHE_TLS MEMCACHE_TLS_CLIENT_CERT MEMCACHE_TLS_CLIENT_KEY
MEMCACHE_TLS_CACERT MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION SHADOW_MODE RESPONSE_DYNAMIC_METADATA MERGE_DOMAIN_CONFIG
TRACING_ENABLED TRACING_SERVICE_NAME TRACING_SERVICE_NAMESPACE TRACING_SERVICE_INSTANCE_ID TRACING_EXPORTER_PROTOCOL
TRACING_SAMPLING_RATE USE_CALENDAR_MONTH_RATE_LIMIT
"""
