"""Settings: a flag wins over a variable, a variable over the default, and every fault is told."""

from __future__ import annotations

import dataclasses

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
