"""Real Kafka, Redis and PostgreSQL, started once for the whole run on free ports."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import settings

from deploy.local.servers import RunningServers
from shared.log import configure_log
from tests.servers import own_servers

# As in production: structlog's own default prints the variables of each frame, at a second a traceback.
configure_log("json", "tests")


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis draws the same examples in every run without the long tests: a change made red what is red.

    `./bakvakt test --all`, and pytest by itself, draw others each time. Its import here is also for its
    plugin, which else comes to it at the very end, where Python 3.11 may fail to compile it.
    """
    if config.getoption("markexpr") == "not long":
        settings.register_profile("same", derandomize=True, database=None)
        settings.load_profile("same")


@pytest.fixture(scope="session")
def servers() -> Iterator[RunningServers]:
    """All three; gone with their data at the end."""
    with own_servers() as started:
        yield started


@pytest.fixture(scope="session")
def kafka(servers: RunningServers) -> str:
    """host:port"""
    return servers.kafka


@pytest.fixture(scope="session")
def redis_url(servers: RunningServers) -> str:
    """redis://host:port/0"""
    return servers.redis


@pytest.fixture(scope="session")
def postgres_url(servers: RunningServers) -> str:
    """postgresql://... of a database that tests may use; those that need their own make one beside it."""
    return servers.postgres


@pytest.fixture
def prefix() -> str:
    """Names of topics, groups and keys that no other test uses."""
    return f"t{uuid4().hex[:8]}"
