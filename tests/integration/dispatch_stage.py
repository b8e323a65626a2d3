"""Dispatch with all that it touches: topics, a database of its own, and a receiver of its pages."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import psycopg
from aiohttp import web
from aiokafka import TopicPartition
from msgspec.structs import replace
from psycopg.sql import SQL, Identifier
from yarl import URL

from deploy.local.signature import signing_key, verify
from services.dispatch.main import build
from shared.documents.case import Case, decode_case
from shared.documents.deadline import Deadline, encode_deadline
from shared.documents.fault import Fault, encode_fault
from shared.http import serve_http
from shared.kafka.partition import partition_of
from shared.kafka.producer import FencedProducer, Outgoing
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import Topics, apply_topics
from shared.times import now_ms
from tests.conditions import until
from tests.integration.services import running
from tests.unit.dispatch_documents import make_fault

PARTITIONS = 2
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SITE_PARTITION = partition_of("site-1", PARTITIONS)


@asynccontextmanager
async def new_database(postgres_url: str) -> AsyncGenerator[str]:
    """The URL of a database that is there for one test."""
    name = f"dispatch_{uuid4().hex[:8]}"

    async def run(statement: str) -> None:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as server:
            await server.execute(SQL(statement).format(Identifier(name)))  # pyright: ignore[reportArgumentType] - the two statements below

    await run("CREATE DATABASE {}")
    try:
        yield postgres_url.rpartition("/")[0] + "/" + name
    finally:
        await run("DROP DATABASE {} WITH (FORCE)")


@dataclass
class Receiver:
    """Takes pages, and holds every signature against the secret."""

    url: str = ""
    pages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The bodies that came, refused ones included."""
    answer: Callable[[dict[str, Any]], int] = lambda _: 204
    hold: Callable[[dict[str, Any]], bool] = lambda _: False
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        message_id = verify(signing_key(SECRET), request.headers, body, now_s=now_ms() / 1000)
        page: dict[str, Any] = msgspec.json.decode(body)
        assert page["message_id"] == message_id
        self.pages.append(page)
        if self.hold(page):
            await self.release.wait()
        return web.Response(status=self.answer(page))

    def steps(self, emu_id: str) -> list[int]:
        return [page["step"] for page in self.pages if page["emu_id"] == emu_id]


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    receiver = Receiver()
    routes = [web.post("/pages", receiver.receive)]
    async with serve_http("127.0.0.1", 0, not_ready=list, routes=routes) as port:
        receiver.url = f"http://127.0.0.1:{port}/pages"
        yield receiver
        receiver.release.set()


@dataclass
class Stage:
    """One prefix of topics, one database, one receiver; services come and go."""

    kafka: str
    postgres: str
    topics: Topics
    receiver: Receiver
    environ: dict[str, str]

    @asynccontextmanager
    async def dispatch(self, **environ: str) -> AsyncGenerator[str]:
        """An instance that serves all partitions; gives the URL of its HTTP side."""
        service = build({**self.environ, **environ})
        async with (
            serve_http(
                "127.0.0.1",
                0,
                not_ready=service.not_ready,
                refresh_metrics=service.refresh_metrics,
                routes=service.routes(),
            ) as port,
            running(service),
        ):
            yield f"http://127.0.0.1:{port}"

    async def publish(self, *documents: Fault | Deadline) -> None:
        await self.write(
            Outgoing(self.topics.faults, SITE_PARTITION, b"", encode_fault(document))
            if isinstance(document, Fault)
            else Outgoing(self.topics.deadlines, SITE_PARTITION, b"", encode_deadline(document))
            for document in documents
        )

    async def write(self, records: Iterable[Outgoing]) -> None:
        async with FencedProducer(self.kafka, f"{self.topics.prefix}.test") as producer:
            await producer.commit(records)

    async def read(self, topic: str) -> list[Record]:
        """All that the site's partition of `topic` holds."""
        places = {TopicPartition(topic, SITE_PARTITION): None}
        async with Reader(self.kafka, places) as reader:
            return [record async for record in reader.records_to_end()]

    async def cases(self) -> list[Case]:
        return [decode_case(record.value or b"") for record in await self.read(self.topics.cases)]

    async def newest(self, case_id: str, change: str) -> Case:
        """The case as Kafka has it, once `change` was its newest revision."""

        async def look() -> Case | None:
            revisions = [case for case in await self.cases() if case.case_id == case_id]
            return revisions[-1] if revisions and revisions[-1].change == change else None

        found = await until(look, what=f"{case_id} {change}")
        assert found is not None
        return found

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.postgres, autocommit=True) as server:
            cursor = await server.execute(query.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []

    async def metrics(self, url: str) -> str:
        async with aiohttp.ClientSession(url) as session, session.get("/metrics") as response:
            return await response.text()

    async def paged(self, fault: Fault, step: int = 1) -> None:
        """Return once this step's page was received and written down."""

        async def look() -> bool:
            return bool(
                await self.rows(
                    "SELECT 1 FROM pages WHERE case_id = %s AND step = %s AND sent_ms > 0",
                    case_id(fault),
                    step,
                )
            )

        await until(look, what=f"page {step} of {fault.emu_id}")

    async def heard(self, fault: Fault) -> None:
        """Return once dispatch has this revision of the fault."""
        query = "SELECT 1 FROM faults WHERE fault_id = %s AND revision >= %s"
        await until(
            lambda: self.rows(query, fault.fault_id, fault.revision),
            what=f"{fault.fault_id}, revision {fault.revision}",
        )

    async def settled(self) -> None:
        """Return once nothing waits to be sent out."""

        async def look() -> bool:
            return not await self.rows(
                "SELECT 1 FROM outbox UNION ALL SELECT 1 FROM pages WHERE sent_ms IS NULL"
            )

        await until(look, what="an empty outbox")


@asynccontextmanager
async def staged(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1)
    async with new_database(postgres_url) as url, receiving() as receiver:
        environ = {
            "BAKVAKT_KAFKA": kafka,
            "BAKVAKT_POSTGRES": url,
            "BAKVAKT_PREFIX": prefix,
            "BAKVAKT_PARTITIONS": str(PARTITIONS),
            "BAKVAKT_REPLICATION": "1",
            "BAKVAKT_WEBHOOK_URL": receiver.url,
            "BAKVAKT_WEBHOOK_SECRET": SECRET,
        }
        yield Stage(kafka, url, Topics(prefix), receiver, environ)


def fault_now(number: int = 1, **fields: Any) -> Fault:
    return make_fault(number, at_ms=now_ms(), **fields)


def next_revision(fault: Fault, change: str, **fields: Any) -> Fault:
    return replace(fault, revision=fault.revision + 1, change=change, **fields)


def case_id(fault: Fault) -> str:
    return "c" + fault.fault_id[1:]


@asynccontextmanager
async def http(url: str) -> AsyncGenerator[Callable[..., Any]]:
    """`ask(method, path, body)` gives (status, answer)."""
    async with aiohttp.ClientSession(url) as session:

        async def ask(
            method: str, path: str | URL, body: object = None, **options: Any
        ) -> tuple[int, Any]:
            options = {"json": body} | options if body is not None else options
            async with session.request(method, path, **options) as response:
                return response.status, await response.json()

        yield ask
