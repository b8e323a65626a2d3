"""The command line as a whole: commands are imported when they are called."""

import subprocess
import sys

import pytest
import typer

from deploy.cli.later import load
from deploy.cli.main import COMMANDS, app
from deploy.local.state import ROOT

# What a list of commands, or a service that is to be started, needs none of.
HEAVY = ("aiohttp", "aiokafka", "psycopg", "redis", "msgspec", "sqlalchemy", "rich.live")


def loaded(*arguments: str) -> list[str]:
    """What of HEAVY is imported when the command line has run with these."""
    script = (
        "import sys\n"
        "from deploy.cli.main import app\n"
        f"sys.argv = ['bakvakt', *{arguments!r}]\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()[-1:]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_itself(name: str) -> None:
    later = COMMANDS[name]
    command = load(name, later)
    first, *_ = (command.help or "").split("\n\n")
    assert later.help == first.replace("\n", " ")
    assert command.name == name
    assert getattr(command, "rich_help_panel", None) == later.panel


def test_the_list_of_commands_imports_none_of_them() -> None:
    assert loaded("--help") == ["[]"]


def test_every_command_is_listed() -> None:
    group = typer.main.get_command(app)
    context = group.make_context("bakvakt", ["--help"], resilient_parsing=True)
    listed = group.list_commands(context)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - it is a group
    assert listed == [*COMMANDS, "ingest", "classifier", "dispatch", "timer"]
