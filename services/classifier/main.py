"""Wiring of the classifier."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NoReturn

from aiohttp import web

from services.classifier.config import ClassifierSettings, load_configuration
from services.classifier.rules import Rules
from services.classifier.task import ClassifierState
from shared.failures import FailureLimit
from shared.kafka.exactly_once import CommitSlots, ExactlyOnceTask, Seed
from shared.kafka.group import Group
from shared.kafka.ready import wait_for_kafka
from shared.kafka.topics import Topics
from shared.lifecycle import run_service


class ClassifierService:
    """See shared.lifecycle.Service."""

    name = "classifier"

    def __init__(self, settings: ClassifierSettings, rules: Rules) -> None:
        self._settings = settings
        self._rules = rules
        self.host = settings.host
        self.port = settings.port
        self.log = settings.log
        self._group: Group | None = None
        self._topics = Topics(settings.prefix)
        self._group_name = f"{settings.prefix}.classifier"
        self._failures = defaultdict[int, FailureLimit](FailureLimit)
        self._slots = CommitSlots()

    async def run(self, stopping: asyncio.Event) -> None:
        """Member of the group that shares the partitions of `bakvakt.alarms` out."""
        settings = self._settings
        if not await wait_for_kafka(settings, stopping):
            return
        self._group = Group(
            settings.kafka,
            self._group_name,
            self._topics.alarms,
            self._build_task,
            session_timeout_ms=settings.session_timeout_ms,
        )
        await self._group.run(stopping)

    def not_ready(self) -> list[str]:
        """Kafka first, then each partition."""
        if self._group is None:
            return [f"Kafka at {self._settings.kafka}: not reached yet"]
        return self._group.not_ready()

    async def refresh_metrics(self) -> None:
        """All are kept up to date."""

    def routes(self) -> Iterable[web.RouteDef]:
        """None of its own yet."""
        return ()

    def _build_task(self, partition: int) -> ExactlyOnceTask:
        state = ClassifierState(self._settings, self._rules, self._failures[partition], partition)
        return ExactlyOnceTask(
            self._settings.kafka,
            self._group_name,
            changelog=self._topics.classifier_state,
            state=state,
            slots=self._slots,
            seed=Seed(self._topics.fleet, state.seed),
        )


def build(environ: Mapping[str, str]) -> ClassifierService:
    """Raises ConfigError with every problem."""
    return ClassifierService(*load_configuration(environ))


def main() -> NoReturn:
    """Run one instance of the classifier."""
    run_service(build)
