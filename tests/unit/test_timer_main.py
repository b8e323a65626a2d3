"""Settings of the timer, and what it says before it serves."""

from pathlib import Path

import pytest

from services.timer.config import TimerSettings
from services.timer.main import build
from services.timer.metrics import forget_rebuilds_but, tell_rebuilding, tell_rebuilt
from services.timer.redis_client import read_url
from shared.config import load
from shared.errors import ConfigError


def test_defaults_hold_without_any_variable() -> None:
    service = build({})
    assert (service.host, service.port) == ("127.0.0.1", 8083)
    assert service.not_ready() == ["Redis: not reached yet"]


def test_a_rebuild_of_a_shard_that_went_elsewhere_is_not_told_for_ever() -> None:
    """Its task here may have been waiting to be built again when it went."""
    assert tell_rebuilding(3, anew=True)
    assert tell_rebuilding(4, anew=True)
    forget_rebuilds_but([4, 5])
    assert not tell_rebuilding(3, anew=False)
    assert tell_rebuilding(4, anew=False)
    tell_rebuilt(4)


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        build({"BAKVAKT_PORT": "70000", "BAKVAKT_TIMER_TICK_MS": "9", "BAKVAKT_KAFKA": "here"})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:hush@127.0.0.1:6379", "it is no redis://"),
        ("redis://:hush@127.0.0.1:port", "it is no redis://"),
        ("redis://:hush@one:6379,other:6379/0", "write redis+cluster://"),
        ("redis+cluster://:hush@one:6379/1", "leave /database out"),
        ("redis+cluster://:hush@one:6379,", "an address of the cluster is missing"),
        ("redis+cluster://", "an address of the cluster is missing"),
    ],
)
def test_an_address_that_is_not_redis_is_a_wrong_setting(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build({"BAKVAKT_REDIS": url})
    (problem,) = caught.value.problems
    assert problem.startswith("BAKVAKT_REDIS: ")
    assert said in problem.partition(" (it is: ")[0]
    assert "hush" not in problem


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://:hush@one/3", "one:6379"),
        ("rediss://me:hu%40sh@one:7000", "one:7000"),
        ("redis+cluster://me:hush@one:7000,other", "one:7000,other:6379"),
        ("rediss+cluster://[::1]:7000,[::2]:7000", "::1:7000,::2:7000"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
    ],
)
def test_an_address_is_told_without_user_and_password(url: str, address: str) -> None:
    assert read_url(url).address == address


def test_files_for_tls_that_cannot_be_used_are_all_named(tmp_path: Path) -> None:
    there = tmp_path / "ca.crt"
    there.touch()
    environ = {
        "BAKVAKT_REDIS": "redis://one",
        "BAKVAKT_REDIS_CA": str(there),
        "BAKVAKT_REDIS_CERT": str(tmp_path / "away.crt"),
    }
    with pytest.raises(ConfigError) as caught:
        build(environ)
    assert caught.value.problems == [
        f"BAKVAKT_REDIS_CERT: there is no file {tmp_path / 'away.crt'}",
        "BAKVAKT_REDIS_CA, BAKVAKT_REDIS_CERT: BAKVAKT_REDIS is without TLS; write rediss:// for redis://",
        "BAKVAKT_REDIS_CERT and BAKVAKT_REDIS_KEY need each other",
    ]


def test_the_password_of_redis_is_not_shown() -> None:
    settings = load(TimerSettings, {"BAKVAKT_REDIS": "redis://:hush@127.0.0.1:6379/0"})
    assert "hush" not in repr(settings)
    assert settings.redis.endswith("hush@127.0.0.1:6379/0")
