"""What stands by a report, in parts: by the words of registers, or by name. Pure."""

from collections.abc import Iterable, Iterator

from shared.catalogue import Catalogue, Registers
from shared.documents.internal import Active, Part
from shared.documents.report import RegisterWord, SnapshotReport
from shared.errors import RecordError

# Two bits of each of a report's 1,000 registers: more stands in no device that works, and the classifier
# judges so many in a third of the time for which its event loop may stand still.
MAX_STANDING = 2_000
# Ten such reports. A value of 1 MiB has room for a million set bits.
MAX_STANDING_OF_VALUE = 20_000


def read_active(report: SnapshotReport, catalogue: Catalogue, room: int) -> tuple[Part, ...]:
    """The component's own part, and one for each other component that an entry names: a raise there.

    `room`: so many codes more may stand by the value's reports. Raises RecordError past it.
    """
    _check_count(len(report.active), room, "this snapshot", "$.active")
    found: dict[str, dict[str, Active]] = {report.component: {}}
    for entry in report.active:
        codes = found.setdefault(entry.component or report.component, {})
        active = Active(entry.code, entry.level, entry.value)
        known = codes.get(entry.code)
        if known is None or _gravity(active, catalogue) < _gravity(known, catalogue):
            codes[entry.code] = active
    return tuple(
        Part(component, _scope_of(report, component), tuple(codes.values()))
        for component, codes in found.items()
    )


def _scope_of(report: SnapshotReport, component: str) -> tuple[str, ...] | None:
    """All codes of the component of a complete one; of every other only what is named."""
    return None if report.complete and component == report.component else ()


def _gravity(active: Active, catalogue: Catalogue) -> tuple[bool, str]:
    """The graver, the smaller."""
    row = catalogue.look_up(active.code, active.level)
    return (not row.hazard, row.grade)


def _check_count(standing: int, room: int, what: str, where: str) -> None:
    if standing > MAX_STANDING:
        raise RecordError(
            "too_many",
            f"more than {MAX_STANDING} codes stand by {what}; "
            f"at most {MAX_STANDING} are taken of one report - at `{where}`",
        )
    if standing > room:
        raise RecordError(
            "too_many",
            f"with this report more than {MAX_STANDING_OF_VALUE} codes stand by the reports of one "
            f"Kafka value; send them in several - at `{where}`",
        )


def read_words(words: Iterable[RegisterWord], registers: Registers, room: int) -> Iterator[Part]:
    """Ends with a RecordError at the first word that is too much, whatever comes behind it."""
    standing = 0
    for word in words:
        part = _read_word(word, registers)
        if part is None:
            continue
        standing += len(part.active)
        _check_count(standing, room, "these registers", "$.registers")
        yield part


def _read_word(word: RegisterWord, registers: Registers) -> Part | None:
    """None: the word says nothing.

    The scope holds the register's raw name as well: what stood under it before the catalogue had the
    register is no longer named, and so ends with this part.
    """
    model = str(word.model)
    register = registers.find(model, word.point)
    standing = register.read(word.bits)
    if standing is None:
        return None
    raw_name = f"{model}.{word.point}"
    scope = (register.code,) if register.code == raw_name else (register.code, raw_name)
    return Part(word.component, scope, tuple(Active(code, level) for code, level in standing))
