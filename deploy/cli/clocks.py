"""`clocks`: what the timer keeps, what fires next, and a shard built anew; all through a timer's HTTP API."""

import asyncio
import os
import time
from typing import Annotated

import aiohttp
import msgspec
import typer

from deploy.cli.cases import CONFLICT, CaseArgument, JsonOption
from deploy.cli.clock_view import case_page, clock_table, coming_table, not_served, progress
from deploy.cli.dispatch_api import ApiError, DispatchApi, local_url, named_url
from deploy.cli.terminal import print_out
from deploy.cli.timer_api import TimerApi, TimerUrlOption, ask_timer
from deploy.cli.wording import Reader
from shared.documents.clock_answers import CaseClocks, RebuildBegun, ShardState
from shared.documents.fault import GRADES
from shared.times import from_rfc3339

DEFAULT_LIMIT = 30
WHOLE_ID = 16
LOOK_INTERVAL_S = 0.1
TELL_INTERVAL_S = 2.0
# An owner looks at its shard every 2 s; then it is fenced, proves its membership and begins.
TAKEN_UP_WITHIN_S = 30.0

ShardOption = Annotated[int | None, typer.Option("--shard", min=0, help="Of one shard alone.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="How many.")]

clocks = typer.Typer(
    help="The timer's clocks: those that stand, what fires next, all of a case; build a shard anew.",
    no_args_is_help=True,
)


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that was built anew, as `rebuild --json` prints it."""

    shard: int
    standing: int
    """Clocks."""
    took_s: float


@clocks.command("list")
def list_clocks(
    *,
    site: Annotated[str | None, typer.Option(help="Those of one site.")] = None,
    desk: Annotated[str | None, typer.Option(help="Those of one desk.")] = None,
    grade: Annotated[str | None, typer.Option(help="Those of one grade: A, B, C or D.")] = None,
    clock: Annotated[
        str | None, typer.Option(help="Those of one name: response, processing, ...")
    ] = None,
    shard: ShardOption = None,
    limit: LimitOption = DEFAULT_LIMIT,
    url: TimerUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List clocks that stand: not stopped, their own end not fired.

    It looks through the cases a part at a time until it has found as many as asked for, and sorts
    those by when they end. What fires next of all is told by `clocks next`.

    Examples:

    - `bakvakt clocks list --site site-akureyri`

    - `bakvakt clocks list --desk north --grade A --clock processing`

    - `bakvakt clocks list -n 500 --json | jq -r '.clocks[].case_id'`
    """
    wanted = {"site_id": site, "desk": desk, "clock": clock, "shard": shard}
    query = {name: str(value) for name, value in wanted.items() if value is not None}
    if grade is not None:
        if grade.upper() not in GRADES:
            raise typer.BadParameter(f"there are {', '.join(GRADES)}", param_hint="--grade")
        query["grade"] = grade.upper()
    found = ask_timer(url, lambda api: api.list_clocks(query, limit))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    if found.clocks:
        print_out(clock_table(found.clocks, Reader(from_rfc3339(found.at))))
    else:
        typer.echo(f"No such clock stands ({found.looked_at:,} cases looked at).", err=True)
    _warn(not_served(found.not_served))
    if found.more:
        typer.echo("There may be more: use --limit, or a filter.", err=True)


@clocks.command("next")
def next_(
    *,
    shard: ShardOption = None,
    limit: LimitOption = 10,
    url: TimerUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what fires next, over all shards, the earliest first.

    Examples:

    - `bakvakt clocks next`

    - `bakvakt clocks next -n 100 --json | jq -r '.moments[] | [.due_at, .case_id, .clock] | @tsv'`
    """
    query = {"limit": str(limit)} | ({} if shard is None else {"shard": str(shard)})
    found = ask_timer(url, lambda api: api.coming(query))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    if found.moments:
        print_out(coming_table(found.moments, Reader(from_rfc3339(found.at))))
    else:
        typer.echo("No clock stands.", err=True)
    _warn(not_served(found.not_served))


@clocks.command()
def show(case_id: CaseArgument, url: TimerUrlOption = None, as_json: JsonOption = False) -> None:
    """Show every moment of a case: what, when, whether it has fired, its version, and from where it is known.

    What the case is about is asked from dispatch (BAKVAKT_URL, else that of the `up` that runs here); without
    it a whole case id shows the rest. Times are counted by Redis' clock, by which clocks fire.

    Examples:

    - `bakvakt clocks show c3f7a2bq`

    - `bakvakt clocks show c3f7a2bq4id2czoc --json | jq '.moments[] | select(.fired | not)'`
    """

    async def read(api: TimerApi) -> tuple[CaseClocks, tuple[str, int] | str]:
        whole, said = await _ask_dispatch(case_id)
        return await api.case_clocks(whole), said

    found, said = ask_timer(url, read)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        print_out(case_page(found, said, Reader(from_rfc3339(found.at))))


@clocks.command()
def rebuild(
    *,
    shard: Annotated[
        int | None, typer.Option("--shard", min=0, help="One shard alone; else all, one by one.")
    ] = None,
    url: TimerUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build shards of the wheel anew from Kafka, while the timer runs.

    The owner forgets the shard, reads its cases and what has fired from Kafka to their ends, and goes on:
    nothing fires early or twice, what comes due meanwhile fires late. The other shards go on. It needs no
    stop; use it where you don't trust what Redis holds.

    Examples:

    - `bakvakt clocks rebuild --shard 3`

    - `bakvakt clocks rebuild --json`
    """

    async def carry_out(api: TimerApi) -> list[Rebuilt]:
        numbers = [shard] if shard is not None else [found.shard for found in await api.shards()]
        return [await _rebuild(api, number, quiet=as_json) for number in numbers]

    rebuilt = ask_timer(url, carry_out)
    if as_json:
        typer.echo(msgspec.json.encode({"shards": rebuilt}).decode())


async def _rebuild(api: TimerApi, number: int, *, quiet: bool) -> Rebuilt:
    """Ask for it, and wait until the shard is served again. Raises ApiError where nobody takes it up."""
    began_s = told_s = time.monotonic()
    begun = await _ask_for(api, number)
    while True:
        state = await api.shard(number)
        now_s = time.monotonic()
        if state.epoch > begun.epoch and state.doing == "serving":
            break
        if state.epoch <= begun.epoch and now_s - began_s > TAKEN_UP_WITHIN_S:
            raise ApiError(
                f"Shard {number} was emptied, but nobody has begun to build it anew for "
                f"{TAKEN_UP_WITHIN_S:.0f} s: does its timer run? The next one that owns it will build it"
            )
        if not quiet and now_s - told_s > TELL_INTERVAL_S:
            told_s = now_s
            typer.echo(f"shard {number} {_so_far(state, begun.epoch)}", err=True)
        await asyncio.sleep(LOOK_INTERVAL_S)
    took_s = round(time.monotonic() - began_s, 1)
    if not quiet:
        typer.echo(f"shard {number}: built anew in {took_s} s, {state.standing:,} clocks stand")
    return Rebuilt(shard=number, standing=state.standing, took_s=took_s)


async def _ask_for(api: TimerApi, number: int) -> RebuildBegun:
    """A shard that is just being taken over is so for a moment only."""
    began_s = time.monotonic()
    while True:
        try:
            return await api.rebuild(number)
        except ApiError as error:
            if error.status != CONFLICT or time.monotonic() - began_s > TAKEN_UP_WITHIN_S:
                raise
        await asyncio.sleep(LOOK_INTERVAL_S)


def _so_far(state: ShardState, former: int) -> str:
    return "waits for its owner" if state.epoch <= former else progress(state)


async def _ask_dispatch(text: str) -> tuple[str, tuple[str, int] | str]:
    """The whole case id; and the case's title and revision, or why nobody has said them.

    Raises ApiError where the id is shortened and dispatch does not know it.
    """
    url = named_url(None, os.environ) or local_url(os.environ)
    async with aiohttp.ClientSession() as session:
        api = DispatchApi(url, session)
        whole = text
        try:
            whole = await api.find_case(text)
            found = await api.case_file(whole)
        except ApiError as error:
            if len(whole) < WHOLE_ID:
                raise
            return whole, str(error)
    title = found.faults[0].title if found.faults else found.case.kind
    return whole, (title, found.case.revision)


def _warn(text: str) -> None:
    if text:
        typer.echo(text, err=True)
