"""Pure: figures as people read them."""

from collections.abc import Sequence

from deploy.cli import wording

_BARS = "▁▂▃▄▅▆▇█"


def duration(seconds: float) -> str:
    """As the other commands tell it, but nothing shorter than a second: 0 s, 8 s, 2 min 5 s, 3 h 20 min."""
    whole_s = max(0, int(seconds))
    return wording.duration(whole_s * 1000) if whole_s else "0 s"


def count(number: int) -> str:
    """12,400"""
    return f"{number:,}"


def rate(per_s: float) -> str:
    """One decimal where that says something: 0.4, 7.0, 128, 12,400."""
    return f"{per_s:.1f}" if 0 < per_s < 99.95 else f"{per_s:,.0f}"


def bars(values: Sequence[float], width: int) -> str:
    """The last `width` values, each as high as its part of the highest; empty without any."""
    shown = values[-width:] if width > 0 else ()
    highest = max(shown, default=0.0)
    if highest <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(len(_BARS) - 1, int(value / highest * len(_BARS)))] for value in shown)


def printable(text: str) -> str:
    """What came from outside, without anything that a terminal would obey."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
