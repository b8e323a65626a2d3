"""How Redis is reached: one server or a cluster of them, with TLS or without, as which user."""

import ssl
from os.path import isfile as is_file
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    RedisClusterException,
    ResponseError,
)

Client = Redis | RedisCluster

CLUSTER = "+cluster"
_DEFAULT_PORT = 6379
_FILES = ("BAKVAKT_REDIS_CA", "BAKVAKT_REDIS_CERT", "BAKVAKT_REDIS_KEY")


class TlsFiles(NamedTuple):
    """Files in PEM, for `rediss`; None: what the operating system trusts, and no certificate of our own."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


NO_FILES = TlsFiles()


class Where(NamedTuple):
    """What a URL says."""

    is_cluster: bool
    urls: tuple[str, ...]
    """One for each address."""
    nodes: tuple[tuple[str, int], ...]
    """Host and port of each; of a Unix socket its path and 0."""
    has_tls: bool

    @property
    def address(self) -> str:
        """Without user and password."""
        return ",".join(f"{host}:{port}" if port else host for host, port in self.nodes)


def read_url(url: str) -> Where:
    """What the URL says; raises ValueError, without the URL in it, where that is nothing sensible."""
    try:
        parts = urlsplit(url)
        login, at, hosts = parts.netloc.rpartition("@")
        is_cluster = parts.scheme.endswith(CLUSTER)
        plain = parts._replace(scheme=parts.scheme.removesuffix(CLUSTER))
        urls = tuple(plain._replace(netloc=login + at + host).geturl() for host in hosts.split(","))
        found = [parse_url(one) for one in urls]
    except ValueError:
        raise ValueError("it is no redis://[user:password@]host:port/database") from None
    if is_cluster and any(one.get("db") for one in found):
        raise ValueError("a cluster has no databases: leave /database out")
    if is_cluster and not all(one.get("host") for one in found):
        raise ValueError("an address of the cluster is missing")
    if len(urls) > 1 and not is_cluster:
        raise ValueError("it has several addresses: write redis+cluster:// or rediss+cluster://")
    nodes = tuple(
        (path, 0) if path else (one.get("host", "localhost"), one.get("port", _DEFAULT_PORT))
        for one in found
        for path in [one.get("path")]
    )
    has_tls = found[0].get("connection_class") is SSLConnection
    return Where(is_cluster, urls, nodes, has_tls)


def check_files(where: Where, files: TlsFiles) -> list[str]:
    """What is wrong with the files, by their settings' names."""
    given = [(name, file) for name, file in zip(_FILES, files, strict=True) if file is not None]
    problems = [f"{name}: there is no file {file}" for name, file in given if not is_file(file)]
    if given and not where.has_tls:
        names = ", ".join(name for name, _ in given)
        problems.append(f"{names}: BAKVAKT_REDIS is without TLS; write rediss:// for redis://")
    if (files.certificate is None) != (files.key is None):
        problems.append("BAKVAKT_REDIS_CERT and BAKVAKT_REDIS_KEY need each other")
    return problems


class _Cluster(RedisCluster):
    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> RedisCluster:
        try:
            return await super().initialize(additional_startup_nodes_info, last_failed_node_name)
        except IndexError as error:  # what redis-py says then
            raise RedisClusterException("no server of the cluster has slots yet") from error


def connect(where: Where, files: TlsFiles, *, timeout_s: float, connections: int) -> Client:
    """A client with at most so many connections to each server; connects at first use."""
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "max_connections": connections,
        # No retries: a script whose answer was lost may have run. The shard is taken over anew instead.
        "retry": Retry(NoBackoff(), 0),
    }
    if where.has_tls:
        names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
        options |= {name: file for name, file in zip(names, files, strict=True) if file is not None}
    if not where.is_cluster:
        return Redis.from_url(where.urls[0], **options)  # pyright: ignore[reportUnknownMemberType] - untyped keywords
    found: dict[str, Any] = {**parse_url(where.urls[0])}
    for of_one in ("host", "port", "db", "connection_class"):
        found.pop(of_one, None)
    return _Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in where.nodes],
        # Names outlive the addresses that they stand for.
        dynamic_startup_nodes=False,
        # Shards on slots that nobody serves wait; the others go on.
        require_full_coverage=False,
        # 0: a slot that has moved is noted. Otherwise every fifth closes the connections of all shards.
        reinitialize_steps=0,
        ssl=where.has_tls,
        **found,
        **options,
    )


def refusal(error: BaseException) -> str | None:
    """What to say where Redis will not have us, nor we it, however long we wait; None: it may yet come."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AuthenticationError):
            return f"the log-in is refused: {cause}; see user and password in BAKVAKT_REDIS"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is refused: {cause.verify_message};"
                " BAKVAKT_REDIS_CA names the authority that has signed it"
            )
        if isinstance(cause, ssl.SSLError):
            return (
                f"TLS fails: {cause.reason or cause};"
                " see rediss:// in BAKVAKT_REDIS, and BAKVAKT_REDIS_CERT"
            )
        if isinstance(cause, ResponseError) and not isinstance(cause, ClusterDownError):
            hint = "is it a cluster?" if cause is not error else "what a user needs: docs/redis.md"
            return f"it refuses: {cause} ({hint})"
        cause = cause.__cause__ or cause.__context__
    return None
