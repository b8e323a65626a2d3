"""Wiring of ingest."""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NoReturn

from aiohttp import web

from services.ingest.config import IngestSettings
from services.ingest.fleet_reader import FleetReader
from services.ingest.task import IngestTask, group_name
from services.ingest.ticks import Inputs
from shared.catalogue import Catalogue
from shared.catalogue.settings import load_with_catalogue
from shared.errors import ConfigError
from shared.kafka.group import Group
from shared.kafka.ready import wait_for_kafka
from shared.kafka.topics import Topics
from shared.lifecycle import run_service
from shared.waiting import is_set_within, unless_cancelled_within

WHOLE_POLL_S = 0.5


class IngestService:
    """See shared.lifecycle.Service."""

    name = "ingest"

    def __init__(self, settings: IngestSettings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self.host = settings.host
        self.port = settings.port
        self.log = settings.log
        self._reader = FleetReader(
            settings.kafka, Topics(settings.prefix).fleet, settings.partitions
        )
        self._reached = False
        self._groups: list[Group] = []

    async def run(self, stopping: asyncio.Event) -> None:
        """The fleet, and once that is whole, one group for each input topic."""
        settings = self._settings
        if not await wait_for_kafka(settings, stopping, inputs=settings.input_topics):
            return
        self._reached = True
        async with asyncio.TaskGroup() as group:
            group.create_task(unless_cancelled_within(self._reader.run(stopping)))
            group.create_task(unless_cancelled_within(self._serve(stopping)))

    async def _serve(self, stopping: asyncio.Event) -> None:
        while not await is_set_within(self._reader.whole, WHOLE_POLL_S):
            if stopping.is_set():
                return
        settings = self._settings
        self._groups = [
            Group(
                settings.kafka,
                group_name(settings.prefix, topic),
                topic,
                partial(self._build_task, topic),
                session_timeout_ms=settings.session_timeout_ms,
                keeps_offsets=True,
            )
            for topic in settings.input_topics
        ]
        async with asyncio.TaskGroup() as group:
            for member in self._groups:
                group.create_task(unless_cancelled_within(member.run(stopping)))

    def not_ready(self) -> list[str]:
        """Kafka first, then the fleet, then each input topic."""
        if not self._reached:
            return [f"Kafka at {self._settings.kafka}: not reached yet"]
        if not self._groups:
            return self._reader.not_ready() or ["the input topics: not joined yet"]
        return [missing for group in self._groups for missing in group.not_ready()]

    async def refresh_metrics(self) -> None:
        """All are kept up to date."""

    def routes(self) -> Iterable[web.RouteDef]:
        """None of its own yet."""
        return ()

    def _build_task(self, topic: str, _partition: int) -> IngestTask:
        return IngestTask(self._settings, topic, self._catalogue, self._reader.fleet, self._inputs)

    def _inputs(self) -> Inputs | None:
        """Each input topic with its partitions; None: of one it is not known how many it has."""
        counts = [group.topic_partitions for group in self._groups]
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            return None
        return tuple(zip(self._settings.input_topics, known, strict=True))


def build(environ: Mapping[str, str]) -> IngestService:
    """Raises ConfigError with every problem."""
    settings, catalogue = load_with_catalogue(IngestSettings, environ, "ingest")
    ours = Topics(settings.prefix).settings()
    if wrong := [topic for topic in settings.input_topics if topic in ours]:
        # Its dead letters would come back as reports, without end.
        raise ConfigError([f"BAKVAKT_INPUT_TOPICS: {', '.join(wrong)} is a topic of our own"])
    return IngestService(settings, catalogue)


def main() -> NoReturn:
    """Run one instance of ingest."""
    run_service(build)
