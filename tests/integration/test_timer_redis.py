"""The timer's store on a Redis Cluster, over TLS, and as a user who may do no more than it needs."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError

from deploy.local.ports import take_port
from deploy.local.state import ROOT
from services.timer import wheel
from services.timer.plan import Moment, Plan
from services.timer.records import Change
from services.timer.redis_client import TlsFiles
from services.timer.redis_memory import Headroom
from services.timer.redis_server import LUA, RedisServer
from services.timer.store import StoreError
from services.timer.view import ShardView
from services.timer.wheel import WheelStore
from shared.errors import ConfigError
from tests.conditions import until
from tests.integration.test_timer_store import WheelMachine
from tests.redis_servers import Cluster, Node, running_cluster, running_redis

SHARDS = 24


def plan_due(at_ms: int) -> Plan:
    end = Moment(at_ms, "response", "1", "breach", at_ms)
    return Plan(1, 0, "A", "s1", "north", (end,))


async def use(server: RedisServer, prefix: str, shard: int = 0) -> WheelStore:
    """One case in and out of a shard, by every script."""
    store = WheelStore(server.redis, prefix, shard)
    await store.take_over()
    await store.start_over()
    await store.apply([Change("c1", 1, plan_due(5)), Change("c2", 1, plan_due(9_000_000_000))], 1)
    (case,) = (await store.claim(9, now_ms=5)).cases
    assert case == ("c1", plan_due(5))
    await store.acknowledge([("c1", [("response", "1", 5)])], 1)
    assert await store.peek() == ("c2", plan_due(9_000_000_000))
    await store.apply([Change("c1", None, None)], 2)
    return store


# ---- A cluster ----


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with asyncio.Runner() as runner:
        context = running_cluster()
        yield runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


@pytest.fixture
async def server(cluster: Cluster) -> AsyncIterator[RedisServer]:
    server = RedisServer(cluster.url, timeout_s=5, shards=SHARDS)
    yield server
    await server.close()


def test_the_scripts_do_on_a_cluster_what_the_oracle_does(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("READ_LIMIT", "WRITE_LIMIT", "CLAIM_LIMIT"):
        monkeypatch.setattr(wheel, limit, 2)

    class Here(WheelMachine):
        def __init__(self) -> None:
            super().__init__(cluster.url, WheelStore)

    run_state_machine_as_test(
        Here, settings=settings(max_examples=5, stateful_step_count=30, deadline=None)
    )


async def test_the_shards_are_spread_over_all_primaries(
    cluster: Cluster, server: RedisServer, prefix: str
) -> None:
    await server.check()
    await asyncio.gather(*(use(server, prefix, shard) for shard in range(SHARDS)))
    for node in cluster.nodes[:3]:
        shards = {key.partition("}")[0] for key in await node.ask("KEYS", f"{{{prefix}:*")}
        assert 1 <= len(shards) < SHARDS


async def test_a_shard_is_at_hand_again_when_its_primary_was_failed_over(
    cluster: Cluster, server: RedisServer, prefix: str
) -> None:
    """The new primary knows no script, and has what the old one had."""
    store = await use(server, prefix)
    key = f"{{{prefix}:t0}}:meta"
    primary = await cluster.primary_of(key)
    await until(lambda: is_followed(primary), what="the replica has it all")
    await primary.kill()
    with pytest.raises(StoreError):
        await store.claim(9)

    async def taken_over() -> tuple[int | None, int] | None:
        try:
            taken = await store.take_over()
        except StoreError:
            return None
        return taken.next_case, taken.standing

    assert await until(taken_over, what="a new primary") == (2, 1)

    async def all_know() -> bool:
        return await cluster.primary_of(key) is not primary

    await until(all_know, what="the others know of the new primary")
    await server.check()  # although one is down
    await primary.start_again()
    await cluster.until_whole()
    assert await store.peek() == ("c2", plan_due(9_000_000_000))


async def test_a_shard_that_moves_to_another_server_is_found_there(
    cluster: Cluster, server: RedisServer, prefix: str
) -> None:
    """As when the cluster grows: ASK while its keys move, MOVED from then on."""
    store = await use(server, prefix)
    key = f"{{{prefix}:t0}}:meta"
    source = await cluster.primary_of(key)
    slot = await source.ask("CLUSTER", "KEYSLOT", key)
    target = next(node for node in await primaries(cluster) if node is not source)
    source_id, target_id = [await node.ask("CLUSTER", "MYID") for node in (source, target)]
    await target.ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", source_id)
    await source.ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", target_id)
    keys = await source.ask("CLUSTER", "GETKEYSINSLOT", str(slot), "1000")
    move = ("MIGRATE", "127.0.0.1", str(target.server.port), "", "0", "5000", "KEYS")
    await source.ask(*move, *keys)
    assert len((await store.claim(9, now_ms=9_000_000_000)).cases) == 1
    for node in (target, source):
        await node.ask("CLUSTER", "SETSLOT", str(slot), "NODE", target_id)
    assert len((await store.claim(9, now_ms=9_000_000_000)).cases) == 1
    assert await cluster.primary_of(key) is target


async def is_followed(node: Node) -> bool:
    told = await node.ask("INFO", "replication")
    return told["slave0"]["offset"] == told["master_repl_offset"]


async def primaries(cluster: Cluster) -> list[Node]:
    return [
        node
        for node in cluster.nodes
        if (await node.ask("INFO", "replication"))["role"] == "master"
    ]


async def test_what_is_a_cluster_and_what_is_none_is_told(cluster: Cluster, redis_url: str) -> None:
    one = RedisServer(f"redis://{cluster.nodes[0].address}", timeout_s=5, shards=1)
    with pytest.raises(ConfigError, match=r"write redis\+cluster://"):
        await one.check()
    none = RedisServer(redis_url.replace("redis://", "redis+cluster://"), timeout_s=5, shards=1)
    with pytest.raises(ConfigError, match="cluster support disabled"):
        await none.check()
    absent = RedisServer("redis+cluster://127.0.0.1:1,127.0.0.1:2", timeout_s=1, shards=1)
    assert absent.address == "127.0.0.1:1,127.0.0.1:2"
    with pytest.raises(StoreError):
        await absent.check()
    with pytest.raises(StoreError):
        await WheelStore(absent.redis, "p", 0).take_over()
    for server in (one, none, absent):
        await server.close()


async def test_a_cluster_without_servers_of_its_slots_is_not_there_yet() -> None:
    """As while it is being made: what its servers keep cannot be known."""
    async with running_redis(cluster_enabled="yes", cluster_port=str(take_port())) as node:
        server = RedisServer(f"redis+cluster://{node.address}", timeout_s=5, shards=1)
        with pytest.raises(StoreError):
            await server.check()
        await Headroom(server.redis, server.address, 1).look()
        await server.close()


async def test_any_server_of_a_cluster_that_evicts_is_refused(
    cluster: Cluster, server: RedisServer
) -> None:
    last = cluster.nodes[-1]
    await last.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigError, match=f"{last.address}.*noeviction"):
            await server.check()
    finally:
        await last.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


# ---- Log-in and TLS ----


def acl_lines() -> list[str]:
    """The users that docs/redis.md tells to make: for one server, and for a cluster."""
    text = (ROOT / "docs/redis.md").read_text("utf-8")
    return re.findall(r"^user (bakvakt .*)$", text, flags=re.MULTILINE)


class Guarded:
    """A Redis that answers nobody without a log-in, with and without TLS, and the files for that."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tls_port = take_port()
        self.ca = self._make("ca", "-x509", "-subj", "/CN=Our authority")
        self.stranger = self._make("stranger", "-x509", "-subj", "/CN=Somebody")
        # CA:FALSE is needed by nobody, but -CA of `req` makes an authority of what has no extension at all.
        signed = (
            "-CA",
            self.ca,
            "-CAkey",
            self.file("ca.key"),
            "-addext",
            "basicConstraints=CA:FALSE",
        )
        self._make(
            "server", *signed, "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"
        )
        self.certificate = self._make("timer", *signed, "-subj", "/CN=timer")
        self.files = TlsFiles(self.ca, self.certificate, self.file("timer.key"))

    def file(self, name: str) -> str:
        return str(self.directory / name)

    def _make(self, name: str, *how: str) -> str:
        """A certificate and its key."""
        made = self.file(f"{name}.crt")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        files = ("-keyout", self.file(f"{name}.key"), "-out", made)
        command = ("openssl", "req", "-x509", "-days", "2", *key, *files, *how)
        subprocess.run(command, check=True, capture_output=True)
        return made

    @property
    def settings(self) -> dict[str, str]:
        return {
            "tls_port": str(self.tls_port),
            "tls_cert_file": self.file("server.crt"),
            "tls_key_file": self.file("server.key"),
            "tls_ca_cert_file": self.ca,
        }


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def guarded(guard: Guarded) -> Iterator[Node]:
    """Its TLS asks for a certificate of ours, as Redis does where nothing else is said."""
    with asyncio.Runner() as runner:
        context = running_redis(**guard.settings)
        node = runner.run(context.__aenter__())
        rules = acl_lines()[0].replace("PASSWORD", "hush").replace("{bakvakt:", "{*:")
        runner.run(node.ask("ACL", "SETUSER", *rules.split()))
        runner.run(node.ask("CONFIG", "SET", "requirepass", "of-everybody"))
        node.password = "of-everybody"
        yield node
        runner.run(context.__aexit__(None, None, None))


async def refused(server: RedisServer) -> str:
    """What a person reads; no password is in it."""

    async def ask() -> ConfigError | None:
        """As the service does: a server may close the connection before its reason is read."""
        try:
            await server.check()
        except ConfigError as error:
            return error
        except StoreError:
            return None
        return None

    problem = await until(ask, what="it is told what is wrong")
    await server.close()
    said = str(problem)
    assert "hush" not in said + repr(problem) + server.address
    return said


async def look(server: RedisServer, prefix: str, shards: int) -> None:
    """What is done for those who look at the clocks, and at Redis' memory."""
    await Headroom(server.redis, server.address, shards).look()
    for shard in range(shards):
        view = ShardView(server.redis, prefix, shard)
        await view.stand()
        await view.first(10)
        assert await view.window(0) == ([], 0)
        await view.page(0)
        await view.plans(["c1"])
        assert await view.give_up() is None


async def test_a_user_needs_what_the_docs_say_and_no_more(guarded: Node, prefix: str) -> None:
    server = RedisServer(f"redis://bakvakt:hush@{guarded.address}/0", timeout_s=5, shards=1)
    await server.check()
    await use(server, prefix)
    await look(server, prefix, 1)
    assert await guarded.ask("ACL", "LOG") == []
    with pytest.raises(NoPermissionError):
        await server.redis.get("anything")
    with pytest.raises(NoPermissionError):
        await server.redis.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType]
    await server.close()


async def test_a_user_of_a_cluster_needs_what_the_docs_say(cluster: Cluster, prefix: str) -> None:
    rules = acl_lines()[1].replace("PASSWORD", "hush").replace("{bakvakt:", "{*:").split()
    for node in cluster.nodes:
        await node.ask("ACL", "SETUSER", *rules)
    url = cluster.url.replace("://", "://bakvakt:hush@")
    server = RedisServer(url, timeout_s=5, shards=SHARDS)
    await server.check()
    await asyncio.gather(*(use(server, prefix, shard) for shard in range(SHARDS)))
    await look(server, prefix, SHARDS)
    for node in cluster.nodes:
        assert await node.ask("ACL", "LOG") == []
    await server.close()


def test_the_docs_name_the_commands_of_the_scripts() -> None:
    scripts = "".join(path.read_text("utf-8") for path in LUA.glob("*.lua"))
    called = {name.lower() for name in re.findall(r"redis\.call\('([A-Z]+)'", scripts)}
    one, of_cluster = (
        {rule[1:] for rule in line.split() if rule.startswith("+")} for line in acl_lines()
    )
    assert one == called | {"eval", "evalsha", "config|get", "info"}
    assert of_cluster == one | {"cluster|slots", "command"}


@pytest.mark.parametrize("login", ["bakvakt:hushhush@", "nobody:hush@", ":hush@", ""])
async def test_a_refused_log_in_is_told_as_such(guarded: Node, login: str) -> None:
    for scheme in ("redis", "redis+cluster"):
        server = RedisServer(f"{scheme}://{login}{guarded.address}", timeout_s=5, shards=1)
        assert re.search("log-in is refused.*BAKVAKT_REDIS|it refuses", await refused(server))


async def test_tls_with_our_certificate(guard: Guarded, guarded: Node, prefix: str) -> None:
    url = f"rediss://bakvakt:hush@127.0.0.1:{guard.tls_port}/0"
    server = RedisServer(url, timeout_s=5, shards=1, files=guard.files)
    await server.check()
    await use(server, prefix)
    await server.close()


async def test_what_is_wrong_with_tls_is_told(guard: Guarded, guarded: Node) -> None:
    url = f"rediss://bakvakt:hush@127.0.0.1:{guard.tls_port}/0"

    def server(url: str, files: TlsFiles) -> RedisServer:
        return RedisServer(url, timeout_s=5, shards=1, files=files)

    for files in (TlsFiles(), guard.files._replace(ca=guard.stranger)):
        said = await refused(server(url, files))
        assert "its certificate is refused: " in said
        assert "BAKVAKT_REDIS_CA" in said
    name = url.replace("127.0.0.1", "localhost")
    assert "certificate is refused: Hostname mismatch" in await refused(server(name, guard.files))
    without = await refused(server(url, TlsFiles(guard.ca)))
    assert "BAKVAKT_REDIS_CERT" in without


def test_tls_with_every_server_of_a_cluster(guard: Guarded, prefix: str) -> None:
    """Its servers speak TLS with each other too."""

    def settings() -> dict[str, str]:
        tls = {**guard.settings, "tls_port": str(take_port())}
        return {**tls, "tls_cluster": "yes", "tls_replication": "yes"}

    async def test() -> None:
        async with running_cluster(settings) as cluster:
            ports = [int(node.server.settings["tls-port"]) for node in cluster.nodes]
            url = f"rediss+cluster://127.0.0.1:{ports[0]}"
            server = RedisServer(url, timeout_s=5, shards=SHARDS, files=guard.files)
            await server.check()
            await asyncio.gather(*(use(server, prefix, shard) for shard in range(SHARDS)))
            await look(server, prefix, SHARDS)
            assert isinstance(server.redis, RedisCluster)
            assert {int(node.port) for node in server.redis.get_nodes()} == {*ports}
            await server.close()

    asyncio.run(test())
