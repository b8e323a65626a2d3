"""Dispatch's wiring: settings to servers to group to the tasks of its partitions."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import NoReturn

from aiohttp import web

from services.dispatch.api import CaseApi
from services.dispatch.bell import Belfry
from services.dispatch.config import Configuration, load_configuration
from services.dispatch.database import DatabaseError, make_engine
from services.dispatch.fleet import Fleet
from services.dispatch.fleet_api import FleetApi
from services.dispatch.gauges import Gauges
from services.dispatch.migrations import migrate
from services.dispatch.orders import Orders
from services.dispatch.task import Context, DispatchTask
from services.dispatch.webhook import LogOnly, Webhook
from shared.kafka.group import Group
from shared.kafka.ready import wait_for_kafka
from shared.kafka.topics import Topics
from shared.lifecycle import run_service, wait_for_server


class DispatchService:
    """One instance of dispatch."""

    name = "dispatch"
    # Whoever reaches it may acknowledge and close, so until there is log-in it is no setting.
    host = "127.0.0.1"

    def __init__(self, configuration: Configuration) -> None:
        settings = configuration.settings
        self.port = settings.port
        self.log = settings.log
        self._settings = settings
        self._postgres = configuration.postgres
        self._engine = make_engine(configuration.postgres, f"{settings.prefix}.dispatch")
        self._context = Context(
            kafka=settings.kafka,
            topics=Topics(settings.prefix),
            partitions=settings.partitions,
            engine=self._engine,
            rules=configuration.rules,
            delivery=Webhook(settings.webhook_url, configuration.webhook_key)
            if settings.webhook_url
            else LogOnly(),
            bells=Belfry(),
            url=(settings.public_url or f"http://{self.host}:{settings.port}").rstrip("/"),
        )
        self._api = CaseApi(self._engine, Orders(self._context))
        fleet = Fleet(self._engine, settings.partitions, self._context.bells)
        self._fleet_api = FleetApi(self._engine, fleet)
        self._gauges = Gauges(self._engine, self._partitions)
        self._waiting_for = "PostgreSQL"
        self._group: Group | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Wait for PostgreSQL and Kafka, then own partitions until `stopping` is set."""
        try:
            if not await self._reach_servers(stopping):
                return
            self._group = Group(
                self._settings.kafka,
                f"{self._settings.prefix}.dispatch",
                self._context.topics.faults,
                lambda partition: DispatchTask(self._context, partition),
                session_timeout_ms=self._settings.session_timeout_ms,
            )
            await self._group.run(stopping)
        finally:
            await self._context.delivery.close()
            await self._engine.dispose()

    def not_ready(self) -> list[str]:
        """The server that is not reached yet, or the partitions that are not taken over yet."""
        if self._group is None:
            return [f"{self._waiting_for}: not reached yet"]
        return self._group.not_ready()

    async def refresh_metrics(self) -> None:
        """Count the cases, and what waits, of our partitions."""
        if self._group is not None:
            await self._gauges.refresh()

    def routes(self) -> Iterable[web.RouteDef]:
        """The cases, under /v1/cases, their faults, under /v1/faults, and the fleet, under /v1/fleet."""
        return [*self._api.routes(), *self._fleet_api.routes()]

    def _partitions(self) -> Collection[int]:
        return self._group.partitions if self._group is not None else ()

    async def _reach_servers(self, stopping: asyncio.Event) -> bool:
        if not await wait_for_server(
            "PostgreSQL",
            self._postgres.render_as_string(hide_password=True),
            lambda: migrate(self._engine),
            stopping,
            absent=(DatabaseError,),
        ):
            return False
        self._waiting_for = "Kafka"
        return await wait_for_kafka(self._settings, stopping)


def build(environ: Mapping[str, str]) -> DispatchService:
    """Raises ConfigError with everything that is wrong in `environ` and the files that it names."""
    return DispatchService(load_configuration(environ))


def main() -> NoReturn:
    """Run one instance until it is told to stop."""
    run_service(build)
