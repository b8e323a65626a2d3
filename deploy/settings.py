"""Settings of the command line, beside those of the services: each is read where it is needed."""

from typing import Annotated

import msgspec


class CommandSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Read from the environment alone. Declared here, so that docs/reference/settings.md names them."""

    state: Annotated[
        str | None,
        msgspec.Meta(
            description="directory in which `up` keeps data and logs; unset: `.local` in the clone"
        ),
    ] = None
    url: Annotated[
        str | None,
        msgspec.Meta(
            description="where dispatch answers `cases` and `explain`; unset: that of the `up` that "
            "runs here, else http://127.0.0.1:8080"
        ),
    ] = None
    timer_url: Annotated[
        str | None,
        msgspec.Meta(
            description="where a timer answers `clocks`, any one of them; unset: that of the `up` that runs "
            "here, else http://127.0.0.1:8083"
        ),
    ] = None
    by: Annotated[
        str | None,
        msgspec.Meta(
            description="in whose name `cases` acknowledges, resolves and closes; unset: the name "
            "of the log-in"
        ),
    ] = None
    typed: Annotated[
        str | None,
        msgspec.Meta(description="how `bakvakt` was called, for hints; set by `./bakvakt` itself"),
    ] = None
