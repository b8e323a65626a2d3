"""Chance that is the same for the same seed, on every machine and with every Python."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """Made of `random()` alone: of what `Random` gives, only that is promised to stay as it is."""

    def __init__(self, *seed: object) -> None:
        self.random = Random(":".join(map(str, seed))).random  # noqa: S311 - chance, no secret

    def below(self, count: int) -> int:
        """0 to count - 1."""
        return int(self.random() * count)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def one_of(self, items: Sequence[T]) -> T:
        return items[int(self.random() * len(items))]

    def some_of(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones, or all where there are fewer."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        """One of the items, each as often as its weight says."""
        mark = self.random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            mark -= weight
            if mark < 0:
                return item
        return items[-1]
