"""Ports on the loopback address."""

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux takes the local ports of outgoing connections (32768 to 60999).
# A client that keeps on trying the port of a server that is down can be given that very port as
# its own, connect to itself, and so keep the server from coming back.
FREE_FIRST = 20_000
FREE_LAST = 32_000
TRIES = 1_000


def take_port(preferred: int | None = None) -> int:
    """The preferred port if it is free, otherwise any free one; given to nobody else on this machine.

    A server listens on its port seconds after it was given out. Until this process ends, a claim keeps it:
    two `up`s that start at the same time do not take each other's servers for their own.
    """
    if preferred is not None and _claim(preferred):
        return preferred
    for _ in range(TRIES):
        port = random.randint(FREE_FIRST, FREE_LAST)  # noqa: S311 - no secret
        if _claim(port):
            return port
    message = f"no free port between {FREE_FIRST} and {FREE_LAST} on {LOOPBACK}"
    raise OSError(message)


def _claim(port: int) -> bool:
    # A name of the kernel's own, in no file system: one holder, gone with its process however that ends.
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0bakvakt port {port}")
    except OSError:
        claim.close()
        return False
    if not _is_free(port):
        claim.close()
        return False
    claim.detach()  # stays open, and nobody closes it
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # What a closed connection leaves in TIME_WAIT does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
