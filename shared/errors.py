"""The errors that Bakvakt raises itself. Policy reads the type, never the text.

BakvaktError
├── ConfigError        wrong settings, policy or catalogue: the service does not start
├── RecordError        bytes that are not what they should be: a dead letter
├── FencedError        somebody else owns this partition now: wait for proof of membership
├── ReadError          Kafka cannot be read from: build the task anew
├── TransactionError   a transaction failed: build the task anew
│   └── OutcomeUnknown nobody knows whether it was committed: as well; the next InitProducerId settles it
├── OwnershipError     stored state is not what this owner last wrote: build the task anew
└── TooManyFailures    rules of ours fail on too many records: the partition waits
"""


class BakvaktError(Exception):
    """Base of all errors of our own; `reason` labels metrics and dead letters."""

    reason = "error"


class ConfigError(BakvaktError):
    """Settings, policy or catalogue are wrong; holds every problem found, not just the first."""

    reason = "config"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RecordError(BakvaktError):
    """A record cannot be used. `reason` is a short word, `detail` says what is wrong and where."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class FencedError(BakvaktError):
    """A newer owner of the partition has taken over."""

    reason = "fenced"


class TransactionError(BakvaktError):
    """A Kafka transaction failed."""

    reason = "transaction"


class OutcomeUnknown(TransactionError):
    """Nobody knows yet whether a Kafka transaction was committed."""

    reason = "outcome_unknown"


class ReadError(BakvaktError):
    """Kafka cannot be read from."""

    reason = "read"


class OwnershipError(BakvaktError):
    """The stored offset is not the one this owner wrote last: another owner is at work."""

    reason = "ownership"


class TooManyFailures(BakvaktError):
    """A rule of ours fails on so many records that it is better to wait than to go on without it."""

    reason = "rule_failed"
