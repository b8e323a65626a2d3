"""Ask the service of this container: `python -m deploy.docker.probe /readyz`.

The image has no curl, and dispatch answers on its own host only. Exit status 0: yes. 1: no, with what is
missing on standard output. Nothing but the standard library, for it is run every few seconds.
"""

import http.client
import os
import sys
from collections.abc import Iterable

# Those of dispatch, ingest, classifier, timer where BAKVAKT_PORT does not say it: one of them is here.
PORTS = (8080, 8081, 8082, 8083)
TIMEOUT_S = 3.0


def ask(ports: Iterable[int], path: str) -> tuple[bool, str]:
    """Whether the first of `ports` that answers says 200, and what it says."""
    for port in ports:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            text = response.read().decode(errors="replace").strip()
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
        return response.status == http.HTTPStatus.OK, text
    return False, "nobody answers"


def main() -> None:
    """Ask for the path that the first argument names."""
    port = os.environ.get("BAKVAKT_PORT")
    yes, text = ask((int(port),) if port else PORTS, sys.argv[1])
    print(text)
    sys.exit(0 if yes else 1)


if __name__ == "__main__":
    main()
