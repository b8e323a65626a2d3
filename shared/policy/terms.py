"""What the policy says for each grade; read from TOML, every error told at once."""

import tomllib
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal, cast, get_type_hints

import msgspec

from shared.documents.case import ClockEvent
from shared.documents.fault import GRADES, Grade
from shared.errors import ConfigError

DEFAULT_FILE = Path(__file__).with_name("default.toml")

Seconds = Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)]
Share = Annotated[str, msgspec.Meta(pattern=r"^0\.[0-9]{1,4}$")]


class GradeTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The times of one grade (S3)."""

    response_s: Seconds
    """A person acknowledges within this time; its end is a breach."""
    processing_s: Seconds
    """The first decision is recorded within this time; its end is a breach."""
    resolution_s: Seconds
    resolution: ClockEvent
    """Whether the end of the resolution time breaks a promise, or is only due."""
    step_s: Seconds
    """What nobody acknowledged goes to the next person after this time."""
    severity: Literal["major", "general", "none"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The times of all grades."""

    warning_shares: tuple[Share, ...]
    """Parts of a clock's time after which a warning is given, ascending, between 0 and 1."""
    grades: dict[Grade, GradeTerms]

    @property
    def version(self) -> str:
        """Equal for equal figures, whatever file they come from."""
        return blake2b(msgspec.json.encode(self, order="sorted"), digest_size=4).hexdigest()


def load_policy(path: Path | None) -> Policy:
    """The default policy, with what the file at `path` changes of it.

    Raises ConfigError naming every wrong key by its path in the file: unknown, of a wrong type, out of
    range, or a time of grade A or B that is longer than promised ("a contract may shorten any time and
    lengthen none of A and B").
    """
    problems: list[str] = []
    default = _read_policy(tomllib.loads(DEFAULT_FILE.read_text(encoding="utf-8")), None, problems)
    if path is None:
        return default
    try:
        content: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError([f"policy {path} cannot be read: {error}"]) from error
    policy = _read_policy(content, default, problems)
    problems += _longer_than_promised(policy, default)
    if problems:
        raise ConfigError([f"policy {path}: {problem}" for problem in problems])
    return policy


def _read_policy(content: Mapping[str, object], base: Policy | None, problems: list[str]) -> Policy:
    """`content` over `base`; what is wrong goes to `problems` and leaves the base's figure."""
    _tell_unknown(content, ("warning_shares", "grade"), "", problems)
    shares = base.warning_shares if base else ()
    if "warning_shares" in content:
        shares = _read_shares(content["warning_shares"], shares, problems)
    by_grade = _table(content.get("grade", {}), "grade", problems)
    _tell_unknown(by_grade, GRADES, "grade.", problems)
    grades: dict[Grade, GradeTerms] = {}
    for grade in GRADES:
        table = _table(by_grade.get(grade, {}), f"grade.{grade}", problems)
        grades[grade] = _read_terms(table, grade, base.grades[grade] if base else None, problems)
    return Policy(warning_shares=shares, grades=grades)


def _read_terms(
    table: Mapping[str, object], grade: Grade, base: GradeTerms | None, problems: list[str]
) -> GradeTerms:
    hints = get_type_hints(GradeTerms, include_extras=True)
    _tell_unknown(table, tuple(hints), f"grade.{grade}.", problems)
    values: dict[str, object] = msgspec.structs.asdict(base) if base else {}
    for name, hint in hints.items():
        if name in table:
            try:
                values[name] = msgspec.convert(table[name], hint)
            except msgspec.ValidationError as error:
                problems.append(f"grade.{grade}.{name}: {error}")
    return msgspec.convert(values, GradeTerms)


def _read_shares(value: object, base: tuple[str, ...], problems: list[str]) -> tuple[str, ...]:
    try:
        shares = msgspec.convert(value, tuple[Share, ...])
    except msgspec.ValidationError as error:
        problems.append(f'warning_shares: {error}; write such as ["0.5", "0.8"]')
        return base
    numbers = [float(share) for share in shares]
    if numbers != sorted(set(numbers)) or 0 in numbers:
        problems.append("warning_shares: must be above 0 and ascend, each named once")
        return base
    return shares


def _table(value: object, path: str, problems: list[str]) -> Mapping[str, object]:
    if isinstance(value, dict):
        return cast(dict[str, object], value)
    problems.append(f"{path}: Expected a table, got {value!r}")
    return {}


def _tell_unknown(
    table: Mapping[str, object], known: tuple[str, ...], prefix: str, problems: list[str]
) -> None:
    problems += [
        f"{prefix}{name}: unknown; there are {', '.join(known)}"
        for name in table
        if name not in known
    ]


def _longer_than_promised(policy: Policy, default: Policy) -> list[str]:
    problems: list[str] = []
    promised_to_all: tuple[Grade, ...] = ("A", "B")
    for grade in promised_to_all:
        own, promised = policy.grades[grade], default.grades[grade]
        for name in ("response_s", "processing_s", "resolution_s", "step_s"):
            longest: int = getattr(promised, name)
            if getattr(own, name) > longest:
                problems.append(
                    f"grade.{grade}.{name}: {getattr(own, name)} is longer than {longest}; "
                    "a contract may shorten the times of A and B, never lengthen them"
                )
        if own.severity != promised.severity:
            problems.append(
                f"grade.{grade}.severity: must stay {promised.severity!r}: "
                "A is solved as a major failure and B as a general one for everybody"
            )
        if own.resolution != promised.resolution:
            problems.append(
                f"grade.{grade}.resolution: must stay {promised.resolution!r}: "
                "the resolution of A and B is promised to everybody"
            )
    return problems
