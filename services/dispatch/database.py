"""PostgreSQL: the pool, transactions, and its errors turned into one of ours."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
from psycopg.pq import Conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError
from sqlalchemy.exc import OperationalError as DatabaseUnavailable
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import BakvaktError

# A transaction that waits for something else than PostgreSQL holds locks that others need.
IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 3_000
STATEMENT_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_S = 5
# PostgreSQL's own limits do not help where its answers do not come through.
TRANSACTION_TIMEOUT_S = 15
# A host that went away without a word is noticed by what it does not answer.
TCP_USER_TIMEOUT_MS = 10_000
# A partition holds at most three for some ms each (intake, relay, pager), and people's requests one.
CONNECTIONS = 20
POOL_TIMEOUT_S = 10
# Class of errors that psycopg calls operational, and that come again each time, such as a key that is too
# long for its index.
PROGRAM_LIMIT_EXCEEDED = "54"


class DatabaseError(BakvaktError):
    """PostgreSQL is away, overloaded, or did not give a lock in time: a commit may yet be done."""

    reason = "postgres"


def parse_url(text_: str) -> URL:
    """`postgresql://...` for our driver. Raises ValueError, without repeating a password."""
    try:
        url = make_url(text_)
    except (ArgumentError, ValueError):
        raise ValueError("it is not a URL such as postgresql://user@host:5432/bakvakt") from None
    if url.drivername not in {"postgresql", "postgres"}:
        raise ValueError(f"it starts with {url.drivername}://, only postgresql:// is understood")
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if not known.issuperset(url.query):
        # Not which: in a password, "@" and "?" that are not written as %40 and %3F end up there.
        raise ValueError("what follows its ? is no option of PostgreSQL (a ? in a password is %3F)")
    return url.set(drivername="postgresql+psycopg")


def make_engine(url: URL, application: str) -> AsyncEngine:
    """The pool; it connects when it is first used."""
    settings = {
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "statement_timeout": STATEMENT_TIMEOUT_MS,
    }
    return create_async_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=0,
        # People's words and addresses do not belong in a log, and 500 documents in no error.
        hide_parameters=True,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={
            "application_name": application,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, *, timeout_s: float = TRANSACTION_TIMEOUT_S
) -> AsyncGenerator[AsyncConnection]:
    """All that is done inside is committed together at its end, or nothing of it.

    Raises DatabaseError for what another try may mend; any other error of PostgreSQL is a bug of ours.
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection = await _open(engine)
            try:
                async with connection.begin():
                    yield connection
            finally:
                await asyncio.shield(connection.close())
    except TimeoutError as error:
        raise DatabaseError(f"no answer within {timeout_s:g} s") from error
    except PoolTimeout as error:
        raise DatabaseError(_first_line(error)) from error
    except DBAPIError as error:
        if _may_mend(error):
            raise DatabaseError(_first_line(error)) from error
        raise
    except OSError as error:
        raise DatabaseError(repr(error)) from error


def _may_mend(error: DBAPIError) -> bool:
    """Whether another try may succeed: not where the statement itself is refused."""
    if isinstance(error.orig, psycopg.Error) and (error.orig.sqlstate or "").startswith(
        PROGRAM_LIMIT_EXCEEDED
    ):
        return False
    unavailable = isinstance(error, DatabaseUnavailable | InterfaceError | InternalError)
    return unavailable or error.connection_invalidated


# The loop keeps only weak references to its tasks.
_closing: set[asyncio.Future[None]] = set()


async def _open(engine: AsyncEngine) -> AsyncConnection:
    """A connection of the pool. Whoever is cancelled here leaves one behind that is opened to its end and
    given back: one that SQLAlchemy was still setting up would be lost with its session open."""
    opening = asyncio.ensure_future(_start(engine))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_give_back)
        raise


async def _start(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect().start()


def _give_back(opening: asyncio.Future[AsyncConnection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        closing = asyncio.ensure_future(opening.result().close())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).strip().partition("\n")[0]
