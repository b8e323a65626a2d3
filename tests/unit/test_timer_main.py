"""Settings of the timer, and what it says before it serves."""

import pytest

from services.timer.config import TimerSettings
from services.timer.main import build
from shared.config import load
from shared.errors import ConfigError


def test_defaults_hold_without_any_variable() -> None:
    service = build({})
    assert (service.host, service.port) == ("127.0.0.1", 8083)
    assert service.not_ready() == ["Redis: not reached yet"]


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        build({"BAKVAKT_PORT": "70000", "BAKVAKT_TIMER_TICK_MS": "9", "BAKVAKT_KAFKA": "here"})
    assert len(caught.value.problems) == 3


def test_an_address_that_is_not_redis_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="BAKVAKT_REDIS"):
        build({"BAKVAKT_REDIS": "http://127.0.0.1:6379"})


def test_the_password_of_redis_is_not_shown() -> None:
    settings = load(TimerSettings, {"BAKVAKT_REDIS": "redis://:hush@127.0.0.1:6379/0"})
    assert "hush" not in repr(settings)
    assert settings.redis.endswith("hush@127.0.0.1:6379/0")
