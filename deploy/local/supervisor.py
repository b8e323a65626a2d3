"""`bakvakt up`: everything as child processes of one supervisor, and stopped with it."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import msgspec

from deploy.local.child import Child
from deploy.local.endpoints import is_ready, without_password
from deploy.local.kafka_server import KafkaServer
from deploy.local.live_screen import show_until, terminal
from deploy.local.messages import Messages, say
from deploy.local.ports import LOOPBACK, take_port
from deploy.local.postgres_server import PostgresServer
from deploy.local.process import ProcessIdentity, Program, boot_id
from deploy.local.redis_server import RedisServer
from deploy.local.server import CannotStart, Server, run_to_end, until_ready
from deploy.local.servers import together
from deploy.local.state import DEFAULTS_OF_UP, ROOT, Kind, State, StateDirectory
from deploy.simulator import DEFAULT_EMUS, DEFAULT_RATE, DEFAULT_SEED
from deploy.simulator.fleet import make_fleet
from deploy.typed import typed
from shared.documents.emu import encode_emu_record
from shared.times import now_ms

# In the order in which data flows, which is also the order in which they are asked to stop.
SERVICES = ("ingest", "classifier", "dispatch", "timer")
PORTS = {
    "kafka": 9092,
    "kafka controller": 9093,
    "redis": 6379,
    "postgres": 5432,
    "dispatch": 8080,
    "ingest": 8081,
    "classifier": 8082,
    "timer": 8083,
    "receiver": 8090,
}

# With which a service ends that does not accept its configuration: trying again changes nothing.
CONFIG_ERROR_STATUS = 2

READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` was asked for."""

    simulate: bool = True
    emus: int = DEFAULT_EMUS
    """Of the simulated fleet."""
    rate: float = DEFAULT_RATE
    """Alarms that it sends each second."""
    instances: Mapping[str, int] = {}
    """Of a service; one where nothing is said."""
    screen: bool = True
    """Show the live screen, if there is a terminal for it."""
    must_be_ready: bool = False
    """Stop everything again unless all is ready in time."""


class Supervisor:
    """Starts everything in order, keeps it running, and stops it in order.

    Must run in the main thread. Whoever runs it holds the lock of the state directory.
    """

    def __init__(
        self, directory: StateDirectory, environ: Mapping[str, str], options: Options
    ) -> None:
        self._directory = directory
        self._options = options
        self._environment = {**environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        self._children: list[Child] = []
        self._is_ready = False
        self._is_stopping = False
        self._started_ms = now_ms()
        self._started_s = time.monotonic()
        self._messages = Messages()

    async def run(self) -> int:
        """Returns the exit status, once everything has been stopped again."""
        stop_requested = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
        start = asyncio.create_task(self._start_everything())
        stop = asyncio.create_task(stop_requested.wait())
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                await start
                await self._show_screen(stop_requested)
                await stop
        except CannotStart as error:
            say(f"\n{error}\n")
            return 1
        else:
            return 0
        finally:
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await self._stop_everything()

    # ---- Start ----

    async def _start_everything(self) -> None:
        self._write_state()
        self._directory.make_data()
        servers = self._own_servers()
        if any(server.name == "kafka" for server in servers):
            self._environment = {**DEFAULTS_OF_UP, **self._environment}
        await together(*(self._start_server(server) for server in servers))
        await self._make_topics(with_inputs="kafka" in {server.name for server in servers})
        self._start_receiver()
        for service in SERVICES:
            self._start_service(service)
        await self._until_ready()
        if self._options.simulate:
            await self._import_fleet()
        self._start_simulator()
        self._is_ready = True
        self._write_state()
        self._say_where_to_look()

    def _own_servers(self) -> list[Server]:
        """Those that the caller has not named in the environment."""
        data, log, environment = self._directory.data, self._directory.log, self._environment
        port = self._port
        makers: dict[str, Callable[[], Server]] = {
            "kafka": lambda: KafkaServer(
                data / "kafka", log("kafka"), port("kafka"), port("kafka controller"), environment
            ),
            "redis": lambda: RedisServer(data / "redis", log("redis"), port("redis"), environment),
            "postgres": lambda: PostgresServer(
                self._directory.postgres.resolve(), log("postgres"), port("postgres"), environment
            ),
        }
        return [make() for name, make in makers.items() if not environment.get(_variable(name))]

    async def _start_server(self, server: Server) -> None:
        await server.prepare()
        self._environment[_variable(server.name)] = server.url
        child = self._add(server.program, kind="server", service=server.name, port=server.port)
        await until_ready(server, child.start())
        child.keep_running()
        self._say_ready(child, server.url)

    async def _make_topics(self, *, with_inputs: bool) -> None:
        """The input topics only in a Kafka of our own: elsewhere somebody owns them."""
        inputs = ["--inputs"] if with_inputs else []
        await run_to_end(self._python("topics", "deploy.cli", "topics", "apply", *inputs))

    def _start_receiver(self) -> None:
        """Unless the caller has a webhook of their own."""
        if self._environment.get("BAKVAKT_WEBHOOK_URL"):
            return
        port = self._port("receiver")
        self._environment["BAKVAKT_WEBHOOK_URL"] = f"http://{LOOPBACK}:{port}/pages"
        self._environment.setdefault("BAKVAKT_WEBHOOK_SECRET", self._directory.webhook_secret())
        pages = str(self._directory.pages)
        program = self._python("receiver", "deploy.local.receiver", pages, port=port)
        self._add(program, kind="receiver", service="receiver", port=port).keep_running()

    def _start_service(self, service: str) -> None:
        for number in range(1, self._options.instances.get(service, 1) + 1):
            name = service if number == 1 else f"{service}-{number}"
            port = self._port(name)
            program = self._python(name, f"services.{service}", port=port)
            self._add(program, kind="service", service=service, port=port).keep_running()

    async def _import_fleet(self) -> None:
        """So that what is simulated has customers, sites and desks; a second time it changes nothing."""
        records = make_fleet(DEFAULT_SEED, self._options.emus)
        file = self._directory.fleet
        file.write_bytes(b"".join(encode_emu_record(record) + b"\n" for record in records))
        dispatch = next(child for child in self._of_kind("service") if child.service == "dispatch")
        to_dispatch = ("--url", dispatch.url or "", "--by", "up")
        program = self._python("fleet", "deploy.cli", "fleet", "import", str(file), *to_dispatch)
        try:
            await run_to_end(program)
        except CannotStart as error:
            say(f"The simulated fleet was not imported, all goes on: {error}")

    def _start_simulator(self) -> None:
        if self._options.simulate:
            fleet = ("--emus", str(self._options.emus), "--rate", str(self._options.rate))
            program = self._python("simulator", "deploy.cli", "simulate", *fleet)
            self._add(program, kind="simulator", service="simulator", port=None).keep_running()

    async def _until_ready(self) -> None:
        """Wait for /readyz of whatever has one. The services wait for their servers by themselves,
        so being late is no failure unless the options say so."""
        waiting = self._of_kind("receiver") + self._of_kind("service")
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        async with aiohttp.ClientSession() as session:
            while waiting:
                for child in list(waiting):
                    if child.exit_status() == CONFIG_ERROR_STATUS:
                        raise CannotStart(f"{child.name} cannot run so:\n{child.last_words()}")
                    if child.url is not None and await is_ready(session, child.url):
                        waiting.remove(child)
                        self._say_ready(child, child.url)
                if waiting and time.monotonic() > deadline_s:
                    if self._options.must_be_ready:
                        raise CannotStart(_not_ready(waiting))
                    say(_not_ready(waiting))
                    deadline_s = float("inf")
                await asyncio.sleep(READY_POLL_S)

    # ---- Stop ----

    async def _stop_everything(self) -> None:
        """Those that write before those that are written to."""
        say("Stopping ...")
        self._is_ready = False
        self._is_stopping = True
        self._write_state()
        kinds: tuple[Kind, ...] = ("simulator", "service", "receiver", "server")
        for kind in kinds:
            await asyncio.gather(*(child.stop() for child in self._of_kind(kind)))
        self._directory.clear()
        say("Stopped.")

    # ---- The children ----

    def _port(self, name: str) -> int:
        return take_port(PORTS.get(name))

    def _python(self, name: str, module: str, *arguments: str, port: int | None = None) -> Program:
        own = {} if port is None else {"BAKVAKT_PORT": str(port)}
        return Program(
            name=name,
            command=(sys.executable, "-P", "-m", module, *arguments),
            log=self._directory.log(name),
            environment={**self._environment, **own},
            # Where the caller stands: a setting may name a file from there.
            directory=Path.cwd(),
        )

    def _add(self, program: Program, *, kind: Kind, service: str, port: int | None) -> Child:
        child = Child(
            program,
            kind=kind,
            service=service,
            port=port,
            on_change=self._write_state,
            tell=lambda text: self._tell(text, program.log),
        )
        self._children.append(child)
        return child

    def _of_kind(self, kind: Kind) -> list[Child]:
        return [child for child in self._children if child.kind == kind]

    def _write_state(self) -> None:
        urls = {
            name: without_password(self._environment.get(_variable(name), ""))
            for name in ("kafka", "redis", "postgres")
        }
        state = State(
            boot_id=boot_id(),
            supervisor=ProcessIdentity.own(),
            started_ms=self._started_ms,
            ready=self._is_ready,
            stopping=self._is_stopping,
            **urls,
            children=[child.record() for child in self._children],
            events=self._messages.events,
        )
        self._directory.write(state)

    # ---- Messages ----

    async def _show_screen(self, stop_requested: asyncio.Event) -> None:
        """The live screen, where there is a terminal for it."""
        descriptor = terminal() if self._options.screen else None
        if descriptor is None:
            return
        log = self._directory.log("screen")
        with self._messages.hold_back():
            status = await show_until(stop_requested, descriptor, log)
        if status is not None:
            say(f"The screen has ended (exit status {status}); all goes on. Its log: {log}")

    def _tell(self, text: str, log: Path) -> None:
        self._messages.tell(text, log)
        self._write_state()

    def _say_ready(self, child: Child, url: str) -> None:
        wanted = PORTS.get(child.name, child.port)
        taken = "" if child.port == wanted else f", port {wanted} is taken"
        say(f"{child.name:<13} {url} (after {time.monotonic() - self._started_s:.1f} s{taken})")

    def _say_where_to_look(self) -> None:
        receivers = [child.url for child in self._of_kind("receiver")]
        say("")
        for url in receivers:
            say(f"Pages arrive at {url}")
        say(f"What stands:   {typed('status')}")
        say(f"What is said:  {typed('logs NAME')}")
        if self._environment.get("BAKVAKT_REPLICATION") == "1":
            say("Kafka keeps one copy of each record (BAKVAKT_REPLICATION=1): to try out only.")


def _variable(server: str) -> str:
    return f"BAKVAKT_{server.upper()}"


def _not_ready(children: list[Child]) -> str:
    parts = [f"Not ready after {READY_TIMEOUT_S:g} s: {', '.join(c.name for c in children)}"]
    for child in children:
        parts.append(f"---- the end of {child.program.log}\n{child.last_words()}")
    return "\n".join(parts)
