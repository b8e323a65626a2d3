"""`python -m tests.bench [NAME]`: what `bakvakt bench` runs, with the same arguments; see its --help."""

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from deploy.local.server import CannotStart
from deploy.local.state import ROOT
from tests.bench import (
    bench_classifier,
    bench_clocks,
    bench_ingest,
    bench_kafka,
    bench_main_job,
    bench_quiet,
    bench_redis,
    bench_standing,
    bench_timer,
    bench_wheel,
)
from tests.bench.frame import Bench, CannotMeasure, Run, measure
from tests.bench.machine import read_machine
from tests.bench.show import make_console, show_benches, show_changes, show_run

BENCHES: dict[str, Bench] = {
    module.BENCH.name: module.BENCH
    for module in (
        bench_main_job,
        bench_ingest,
        bench_classifier,
        bench_standing,
        bench_quiet,
        bench_timer,
        bench_wheel,
        bench_clocks,
        bench_kafka,
        bench_redis,
    )
}
RESULTS = ROOT / ".local/bench"
STDOUT = "-"
WRONG_ARGUMENTS_STATUS = 2


class BenchSummary(msgspec.Struct, frozen=True):
    """A line of the list, for programs."""

    name: str
    question: str
    size: int
    counts: str


def main() -> None:
    """List the benches, or run one of them, print and write what it found."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    # It tells of each metadata answer that came a moment too soon, and asks again by itself.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if all(value is None for name, value in vars(arguments).items() if name != "json"):
        _list(arguments.json)
        return
    bench, earlier = _checked(arguments)
    console = make_console(stderr=arguments.json == STDOUT)
    try:
        run = measure(
            bench,
            read_machine(),
            size=arguments.size or bench.size,
            repetitions=arguments.repetitions or bench.repetitions,
            say=make_console(stderr=True).print,
        )
    except (CannotStart, CannotMeasure) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    show_run(console, run)
    if earlier is not None:
        show_changes(console, earlier, run)
    _write(run, arguments.json)


def _stop(_number: int, _frame: object) -> None:
    """As Ctrl-C: the event loop that runs cancels its work, which ends what it has started, in order."""
    signal.raise_signal(signal.SIGINT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bakvakt bench", add_help=False)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--size", type=int)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--json")
    parser.add_argument("--compare", type=Path)
    return parser.parse_args()


def _list(target: str | None) -> None:
    if target == STDOUT:
        summaries = [
            BenchSummary(bench.name, bench.question, bench.size, bench.counts)
            for bench in BENCHES.values()
        ]
        print(msgspec.json.encode(summaries).decode())
    elif target is None:
        show_benches(make_console(stderr=False), BENCHES.values())
    else:
        _refuse([f"Which bench? There are: {', '.join(BENCHES)}"])


def _checked(arguments: argparse.Namespace) -> tuple[Bench, Run | None]:
    """The bench, and the run to compare with; ends the process where any argument is wrong."""
    problems: list[str] = []
    bench = BENCHES.get(arguments.name)
    if arguments.name is None:
        problems.append(f"Which bench? There are: {', '.join(BENCHES)}")
    elif bench is None:
        problems.append(f"There is no bench {arguments.name!r}. There are: {', '.join(BENCHES)}")
    earlier = None if arguments.compare is None else _read(arguments.compare, problems)
    if bench and earlier and earlier.bench != bench.name:
        problems.append(f"{arguments.compare} is a run of {earlier.bench!r}, not of {bench.name!r}")
    if arguments.json not in (None, STDOUT):
        problems += _check_target(Path(arguments.json))
    if bench is None or problems:
        _refuse(problems)
    return bench, earlier


def _check_target(file: Path) -> list[str]:
    """Before minutes of measuring, not after."""
    if file.is_dir():
        return [f"{file} is a directory; name a file in it"]
    if not file.parent.is_dir():
        return [f"{file}: there is no directory {file.parent} to write to"]
    return []


def _read(file: Path, problems: list[str]) -> Run | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Run)
    except OSError as error:
        problems.append(f"{file} cannot be read: {error.strerror}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file} is not what `bakvakt bench NAME` writes: {error}")
    return None


def _refuse(problems: list[str]) -> NoReturn:
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(WRONG_ARGUMENTS_STATUS)


def _write(run: Run, wanted: str | None) -> None:
    """To the file that was named, else to one of our own; `-` is standard output."""
    text = msgspec.json.format(msgspec.json.encode(run)) + b"\n"
    if wanted == STDOUT:
        sys.stdout.buffer.write(text)
        return
    if wanted is None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        time = run.began_at[:19].replace(":", "").replace("-", "")
        file = RESULTS / f"{run.bench}-{time}.json"
    else:
        file = Path(wanted)
    file.write_bytes(text)
    print(f"\nWritten to {file}", file=sys.stderr)


if __name__ == "__main__":
    main()
