"""What reaches the log, and what must not."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.log import REPEATED_AFTER_S, Seldom

# In a process of its own, for the log is set up once for a whole process.
PROGRAM = """
import logging
import os
import structlog
from shared.log import configure_log

configure_log(os.environ["FORM"], "test")


def connect(password):
    raise OSError("no route")


try:
    connect(os.environ["PASSWORD"])
except OSError:
    structlog.get_logger().exception("ours failed")
    logging.getLogger("library").exception("theirs failed")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_traceback_in_the_log_shows_no_variables(form: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[2],
        env={"FORM": form, "PASSWORD": "hunter2"},
        capture_output=True,
        text=True,
        check=True,
    )
    for told in ("ours failed", "theirs failed"):
        assert told in result.stderr
    assert result.stderr.count("OSError: no route") == 2
    assert "hunter2" not in result.stderr


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM + "print('went on')\n"],
        cwd=Path(__file__).parents[2],
        env={"FORM": "json", "PASSWORD": "hunter2"},
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
        check=False,
    )
    os.close(writer)
    assert result.stdout == "went on\n"


def test_lines_that_are_alike_are_told_now_and_then_with_their_number() -> None:
    now_s = 0.0
    seldom = Seldom(lambda: now_s)

    def told(name: str, text: str, *figures: object) -> str | None:
        record = logging.LogRecord(name, logging.WARNING, "", 0, text, figures, None)
        return record.getMessage() if seldom.filter(record) else None

    assert told("aiokafka", "no node %d, 5 %% lost", 1) == "no node 1, 5 % lost"
    assert [told("aiokafka", "no node %d, 5 %% lost", n) for n in range(300)] == [None] * 300
    assert told("aiokafka", "another") == "another"
    assert told("elsewhere", "another") == "another"
    now_s = REPEATED_AFTER_S
    again = "no node 7, 5 % lost (300 more like it since)"
    assert told("aiokafka", "no node %d, 5 %% lost", 7) == again
    assert told("aiokafka", "another") == "another"
