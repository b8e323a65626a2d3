"""Real Kafka, Redis and PostgreSQL, started once for the whole run on free ports."""

import importlib
from collections.abc import Iterator
from uuid import uuid4

import pytest

from deploy.local.servers import RunningServers
from shared.log import configure_log
from tests.servers import own_servers

# Its plugin else does so at the very end, where Python 3.11 may fail to compile it.
importlib.import_module("hypothesis")

# As in production: structlog's own default prints the variables of each frame, at a second a traceback.
configure_log("json", "tests")


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
