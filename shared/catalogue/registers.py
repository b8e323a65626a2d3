"""Registers: words of a device whose bits, or whose value, say what stands there."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

RegisterForm = Literal["bits", "enum", "levels"]
"""What a word says: each set bit is a code of its own; the value is the one code that shows; the value is
the level of the one code that there is. 0 always says that nothing stands."""


class ActiveCode(NamedTuple):
    """A code that stands, by the word of a register; `level` where the word tells it."""

    code: str
    level: str | None = None


@dataclass(frozen=True)
class Reserved:
    """Bits, or values, that mean nothing, with the reason. Ranges: those of a word of 32 bits may be wide."""

    ranges: tuple[tuple[range, str], ...] = ()

    def why(self, number: int) -> str | None:
        """None: it is not reserved."""
        return next((why for numbers, why in self.ranges if number in numbers), None)

    def __contains__(self, number: object) -> bool:
        return any(number in numbers for numbers, _why in self.ranges)


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """One register of the catalogue, or one that the catalogue does not have."""

    code: str
    """`sunspec:701.Alrm`: its codes are this, or begin with this and a full stop."""
    form: RegisterForm = "bits"
    reserved: Container[int] = ()
    """Bits, or values, that mean nothing."""
    not_implemented: int | None = None
    """The word by which a device says that it does not have this register."""
    levels: Mapping[int, str] = {}
    """Of form `levels`: the level for each value."""

    def read(self, word: int) -> tuple[ActiveCode, ...] | None:
        """What stands by this word; None: the word says nothing at all, not even that nothing stands.

        A bit or value that is neither catalogued nor reserved is there too: an unknown code.
        """
        if word == self.not_implemented:
            return None
        return tuple(self._active(word))

    def _active(self, word: int) -> Iterator[ActiveCode]:
        if self.form == "bits":
            for bit in range(word.bit_length()):
                if word >> bit & 1 and bit not in self.reserved:
                    yield ActiveCode(f"{self.code}.{bit}")
        elif word != 0 and word not in self.reserved:
            if self.form == "enum":
                yield ActiveCode(f"{self.code}.{word}")
            else:
                yield ActiveCode(self.code, self.levels.get(word))


class Registers:
    """Registers by the names that reports call them: (model, point)."""

    def __init__(self, by_name: Mapping[tuple[str, str], Register]) -> None:
        self._by_name = by_name
        self._codes = frozenset(register.code for register in by_name.values())

    def find(self, model: str, point: str) -> Register:
        """The register of that name; one whose every set bit is an unknown code where there is none."""
        found = self._by_name.get((model, point))
        return found if found is not None else Register(code=f"{model}.{point}")

    def has_code(self, code: str) -> bool:
        """Whether one of the catalogue's registers has this code."""
        return code in self._codes
