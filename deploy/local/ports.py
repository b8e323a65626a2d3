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


class Ports:
    """Gives out ports that nobody listens on, none of them twice."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def take(self, preferred: int | None = None) -> int:
        """The preferred port if it is free, otherwise any free one."""
        if preferred is not None and self._is_free(preferred):
            self._given.add(preferred)
            return preferred
        for _ in range(TRIES):
            port = random.randint(FREE_FIRST, FREE_LAST)  # noqa: S311 - no secret
            if self._is_free(port):
                self._given.add(port)
                return port
        message = f"no free port between {FREE_FIRST} and {FREE_LAST} on {LOOPBACK}"
        raise OSError(message)

    def _is_free(self, port: int) -> bool:
        if port in self._given:
            return False
        with socket.socket() as listener:
            # What a closed connection leaves in TIME_WAIT does not count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
            except OSError:
                return False
        return True
