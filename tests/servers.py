"""Real servers for code that runs event loops of its own inside."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from deploy.local.servers import RunningServers, running_servers


@contextmanager
def own_servers() -> Generator[RunningServers]:
    """`running_servers`, whose event loop stands still while the caller runs others.

    Must be entered in the main thread, and outside of any event loop.
    """
    with asyncio.Runner() as runner:
        context = running_servers()
        servers = runner.run(context.__aenter__())
        try:
            yield servers
        finally:
            runner.run(context.__aexit__(None, None, None))
