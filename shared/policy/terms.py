"""What the policy says for each grade; read from TOML, every error told at once."""

from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from shared.documents.case import ClockEvent
from shared.documents.fault import GRADES, Grade
from shared.errors import ConfigError
from shared.toml import Problem, Table, as_text, read_toml

DEFAULT_FILE = Path(__file__).with_name("default.toml")

Seconds = Annotated[
    int,
    msgspec.Meta(ge=1, le=366 * 86_400, description="a number of seconds from 1 to 31622400"),
]
HoldSeconds = Annotated[
    int, msgspec.Meta(ge=0, le=3600, description="a number of seconds from 0 to 3600")
]
Share = Annotated[str, msgspec.Meta(pattern=r"^0\.[0-9]{1,4}$")]
Shares = Annotated[
    tuple[Share, ...],
    msgspec.Meta(description='parts of 1, ascending, as texts, such as ["0.5", "0.8"]'),
]
Severity = Literal["major", "general", "none"]


class GradeTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The times of one grade (S3)."""

    response_s: Seconds
    """A person acknowledges within this time; its end is a breach."""
    processing_s: Seconds
    """The first decision is recorded within this time; its end is a breach."""
    resolution_s: Seconds
    resolution: Annotated[ClockEvent, msgspec.Meta(description='"breach" or "due"')]
    """Whether the end of the resolution time breaks a promise, or is only due."""
    step_s: Seconds
    """What nobody acknowledged goes to the next person after this time."""
    hold_s: HoldSeconds
    """A new fault is told after this time, unless it is a hazard."""
    severity: Annotated[Severity, msgspec.Meta(description='"major", "general" or "none"')]


class HeartbeatTerms(msgspec.Struct, frozen=True, kw_only=True):
    """After what silence an EMU that sends heartbeats is taken for offline."""

    missed: Annotated[int, msgspec.Meta(ge=1, le=100, description="a number from 1 to 100")]
    """So many heartbeats, by the EMU's own interval."""
    least_s: Seconds
    """But not sooner than this, however short its interval."""


class RegradeTerms(msgspec.Struct, frozen=True, kw_only=True):
    """When a fault is graver than the catalogue says. A contract may only make it graver sooner."""

    repeats: Annotated[int, msgspec.Meta(ge=2, le=3, description="2 or 3")]
    """A condition that is told as risen so often ..."""
    repeats_within_s: Annotated[
        int,
        msgspec.Meta(
            ge=86_400, le=7 * 86_400, description="a number of seconds from 86400 to 604800"
        ),
    ]
    """... within this time is one grade graver."""
    age_s: Annotated[
        int, msgspec.Meta(ge=1, le=86_400, description="a number of seconds from 1 to 86400")
    ]
    """A fault of grade D that is open for so long is C."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The times of all grades, when a fault is regraded, and when an EMU is silent."""

    warning_shares: tuple[Share, ...]
    """Parts of a clock's time after which a warning is given, ascending, between 0 and 1."""
    regrade: RegradeTerms
    heartbeat: HeartbeatTerms
    grades: dict[Grade, GradeTerms]

    @property
    def version(self) -> str:
        """Equal for equal figures, whatever file they come from."""
        return blake2b(msgspec.json.encode(self, order="sorted"), digest_size=4).hexdigest()


class _PolicyKeys(msgspec.Struct, frozen=True, kw_only=True):
    warning_shares: Shares


def load_policy(path: Path | None) -> Policy:
    """The default policy, with what the file at `path` changes of it.

    Raises ConfigError naming the line of everything that is wrong in it: a key that is unknown, of a wrong
    type or out of range, or a time of grade A or B that is longer than promised ("a contract may shorten
    any time and lengthen none of A and B").
    """
    problems: list[Problem] = []
    default = _read_policy(DEFAULT_FILE, None, problems)
    policy = default if path is None else _read_policy(path, default, problems)
    if problems or policy is None:
        raise ConfigError(as_text("policy", problems))
    return policy


def _read_policy(path: Path, base: Policy | None, problems: list[Problem]) -> Policy | None:
    """The file over `base`; what is wrong is told, and leaves the base's figure."""
    root = read_toml(path, problems, name=str(path))
    if root is None:
        return None
    known = {"warning_shares": base.warning_shares} if base else {}
    keys = root.read(_PolicyKeys, base=known, besides=("grade", "heartbeat", "regrade"))
    if "warning_shares" in root.values and keys is not None:
        _check_shares(keys.warning_shares, root)
    known = msgspec.structs.asdict(base.heartbeat) if base else None
    heartbeat = root.table("heartbeat").read(HeartbeatTerms, base=known)
    by_grade = root.table("grade")
    by_grade.tell_unknown(GRADES)
    grades: dict[Grade, GradeTerms] = {}
    for grade in GRADES:
        table = by_grade.table(grade)
        promised = base.grades[grade] if base else None
        terms = table.read(GradeTerms, base=msgspec.structs.asdict(promised) if promised else None)
        if terms is not None:
            grades[grade] = terms
            if promised is not None and grade in {"A", "B"}:
                _tell_longer_than_promised(grade, terms, promised, table)
    regrade = root.table("regrade").read(
        RegradeTerms, base=msgspec.structs.asdict(base.regrade) if base else None
    )
    if keys is None or heartbeat is None or regrade is None or len(grades) < len(GRADES):
        return None
    return Policy(
        warning_shares=keys.warning_shares, regrade=regrade, heartbeat=heartbeat, grades=grades
    )


def _check_shares(shares: tuple[str, ...], root: Table) -> None:
    numbers = [float(share) for share in shares]
    if numbers != sorted(set(numbers)) or 0 in numbers:
        root.tell(
            'must be above 0 and ascend, each named once; write such as ["0.5", "0.8"]',
            "warning_shares",
        )


def _tell_longer_than_promised(
    grade: Grade, own: GradeTerms, promised: GradeTerms, table: Table
) -> None:
    for name in ("response_s", "processing_s", "resolution_s", "step_s", "hold_s"):
        longest: int = getattr(promised, name)
        least = 0 if name == "hold_s" else 1
        if getattr(own, name) > longest:
            table.tell(
                f"{getattr(own, name)} is longer than promised, and a contract may shorten the times"
                f" of A and B, never lengthen them; write a number of seconds from {least} to {longest}",
                name,
            )
    if own.severity != promised.severity:
        table.tell(
            f"must stay {promised.severity!r}: A is solved as a major failure and B as a general one"
            " for everybody; leave it out",
            "severity",
        )
    if own.resolution != promised.resolution:
        table.tell(
            f"must stay {promised.resolution!r}: the resolution of A and B is promised to everybody;"
            " leave it out",
            "resolution",
        )
