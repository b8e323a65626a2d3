"""What measurements say once there are several repetitions of them. Pure: no I/O, no clock.

A ratio is computed within one repetition, where floor and ours had the same machine; then the median of the
ratios is taken. A median of times would carry every disturbance of the machine into the ratio.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import msgspec


class Measurement(NamedTuple):
    """One value of one repetition."""

    name: str
    unit: str
    """As printed: us, ms, B, 1/s."""
    value: float
    floor: str | None = None
    """Name of the measurement that this one is compared with; None: it stands for itself."""


class Spread(msgspec.Struct, frozen=True):
    """The middle of some values, and how far they lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement over all repetitions, in their order."""

    name: str
    unit: str
    floor: str | None
    values: tuple[float, ...]
    value: Spread
    ratios: tuple[float, ...]
    """Value by the floor's value, repetition by repetition; empty without a floor."""
    ratio: Spread | None


class Change(NamedTuple):
    """What became of one ratio between two runs."""

    name: str
    earlier: Spread
    now: Spread

    @property
    def share(self) -> float:
        """0.1: the ratio has grown by a tenth."""
        return self.now.median / self.earlier.median - 1

    @property
    def is_beyond_spread(self) -> bool:
        """No repetition of the one run lies among those of the other: more than the usual unrest."""
        return self.now.least > self.earlier.most or self.now.most < self.earlier.least


def make_figures(repetitions: Sequence[Sequence[Measurement]]) -> list[Figure]:
    """One figure for each measurement, in the order of the first repetition.

    Raises ValueError where repetitions differ in what they measure, or a floor is none of them: a bug of
    the bench.
    """
    tables = [{found.name: found for found in repetition} for repetition in repetitions]
    names = [list(table) for table in tables]
    if any(other != names[0] for other in names):
        raise ValueError(f"repetitions measure different things: {names}")
    return [_make_figure(found, tables) for found in repetitions[0]]


def _make_figure(first: Measurement, tables: Sequence[dict[str, Measurement]]) -> Figure:
    values = tuple(table[first.name].value for table in tables)
    ratios: tuple[float, ...] = ()
    if first.floor is not None:
        if first.floor not in tables[0]:
            raise ValueError(f"{first.name!r} has a floor that is not measured: {first.floor!r}")
        floors = [table[first.floor].value for table in tables]
        if all(floors):  # 0: too little was measured to tell
            ratios = tuple(value / floor for value, floor in zip(values, floors, strict=True))
    return Figure(
        name=first.name,
        unit=first.unit,
        floor=first.floor,
        values=values,
        value=Spread.of(values),
        ratios=ratios,
        ratio=Spread.of(ratios) if ratios else None,
    )


def compare(earlier: Iterable[Figure], now: Iterable[Figure]) -> list[Change]:
    """The ratios that both runs have, in the order of `now`."""
    before = {
        figure.name: figure.ratio for figure in earlier if figure.ratio and figure.ratio.median
    }
    return [
        Change(figure.name, before[figure.name], figure.ratio)
        for figure in now
        if figure.ratio is not None and figure.name in before
    ]


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
