"""Commands that are imported when they are called: what each of them needs costs up to a second of CPU.

`bakvakt --help` imports none of them, so the table says in words what the command itself says.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer import _click as click
from typer.core import TyperCommand, TyperGroup


class Later(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    place: str
    """`module:name`, of a function or of a Typer."""
    panel: str
    help: str
    passes_on: bool = False
    """Options that it does not know are another program's."""


def load(name: str, later: Later) -> click.Command:
    """The command itself."""
    module, _, attribute = later.place.partition(":")
    found: Any = getattr(import_module(module), attribute)
    parent = typer.Typer(rich_markup_mode="markdown")
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name, rich_help_panel=later.panel)
    else:
        context = {"ignore_unknown_options": True} if later.passes_on else None
        parent.command(name, rich_help_panel=later.panel, context_settings=context)(found)
        parent.command("another", hidden=True)(lambda: None)  # or it would be no group
    group = typer.main.get_group(parent)
    return group.commands[name]


def shown(name: str, later: Later) -> click.Command:
    """What stands for it in the list of commands."""
    return TyperCommand(name, help=later.help, rich_help_panel=later.panel)


def group_of(table: Mapping[str, Later]) -> type[TyperGroup]:
    """A group with these commands, and behind them those that are registered with it."""

    class Group(TyperGroup):
        lists = False

        def list_commands(self, ctx: click.Context) -> list[str]:
            return [*table, *super().list_commands(ctx)]

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            later = table.get(cmd_name)
            if later is None:
                return super().get_command(ctx, cmd_name)
            return (shown if self.lists else load)(cmd_name, later)

        def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            self.lists = True
            super().format_help(ctx, formatter)

    return Group
