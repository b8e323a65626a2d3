"""The Deadline document of `bakvakt.deadlines` (key `deadline_id`)."""

from typing import Literal

import msgspec

from shared.documents.fault import Grade


class Deadline(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A clock has reached one of its moments.

    A reader acts only if `version` (the clock's due time in epoch ms) is what the newest case says now,
    and once for each (deadline_id, version).
    """

    deadline_id: str
    """`<case_id>:<clock>:<share>`"""
    version: int
    case_id: str
    clock: str
    event: Literal["warning", "breach", "due"]
    share: str
    grade: Grade
    site_id: str
    desk: str
    due_at: str
    fired_at: str
    late_ms: int
    recovered: bool = False
    case_revision: int = 0
    """The newest revision of the case that the timer had; 0: it did not tell."""


encode_deadline = msgspec.json.Encoder().encode
decode_deadline = msgspec.json.Decoder(Deadline).decode
