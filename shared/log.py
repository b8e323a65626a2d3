"""Structured logs: JSON lines for machines, readable ones on a terminal."""

import contextlib
import io
import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO, cast

import structlog


class UnfailingStream(io.TextIOBase):
    """Standard error, but a log that cannot be written (full disk, closed pipe) stops nothing."""

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


# aiokafka tells of an absent broker with each attempt, of which there may be hundreds a second.
REPEATED_AFTER_S = 10.0
# Of lines; there are more only where somebody writes figures into the text itself.
MAX_KINDS = 1_000


class Seldom(logging.Filter):
    """Of lines that are alike one in REPEATED_AFTER_S, with how many there were since."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))  # the text without its figures
        told_s, more = self._told.get(key, (-REPEATED_AFTER_S, 0))
        if self._now_s() - told_s < REPEATED_AFTER_S:
            self._told[key] = (told_s, more + 1)
            return False
        if len(self._told) >= MAX_KINDS:
            self._told.clear()
        self._told[key] = (self._now_s(), 0)
        if more:
            record.msg = f"{record.getMessage()} ({more} more like it since)"
            record.args = ()
        return True


def configure_log(form: str, service: str) -> None:
    """Set up structlog and the libraries' logging; `form` is "json", "text" or "auto"."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default one prints the variables of each frame, and with them passwords.
            exception_formatter=structlog.dev.plain_traceback,
        )
        if text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.StackInfoRenderer(),
            *([] if text else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", UnfailingStream())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                *shared,
                *([] if text else [structlog.processors.format_exc_info]),
            ],
        )
    )
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
