"""aiokafka's clients with our settings. Figures and reasons: docs/adr/0002-the-one-loop.md."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

# A record of our dead-letter topic may have 9 MiB; aiokafka checks only this limit.
MAX_REQUEST_BYTES = 10 * 1024 * 1024
# Under the broker's default of 1 MiB a batch, with room for keys and headers.
MAX_BATCH_BYTES = 512 * 1024
# An open transaction holds back every reader behind it for this long if its owner dies.
TRANSACTION_TIMEOUT_MS = 10_000
# So often aiokafka's fetcher looks whether there is something to do that nobody has told it of. With the
# default of 200 ms this was a third of what an idle partition costs; a reader's partitions never change.
FETCHER_LOOKS_MS = 2_000
# aiokafka's default of 100 ms sits in the path of each commit: 47 ms p50 with it, 33 ms with this.
RETRY_BACKOFF_MS = 5


def make_reader(kafka: str, *, fetch_max_wait_ms: int = 500) -> AIOKafkaConsumer:
    """A reader of assigned partitions, in no group: its place is ours to keep."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=fetch_max_wait_ms,
        consumer_timeout_ms=FETCHER_LOOKS_MS,
        max_partition_fetch_bytes=1024 * 1024,
        fetch_max_bytes=8 * 1024 * 1024,
    )


def make_member(kafka: str, group: str, session_timeout_ms: int) -> AIOKafkaConsumer:
    """A group's member for assignment only: its partitions are paused and it is never read from."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka,
        group_id=group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=session_timeout_ms,
        heartbeat_interval_ms=2_000,
        fetch_max_wait_ms=500,
    )


def make_producer(kafka: str, transactional_id: str | None = None) -> AIOKafkaProducer:
    """An idempotent producer (so acks=all); with an id a transactional one, fenced by its successor."""
    if transactional_id is None:
        return AIOKafkaProducer(
            bootstrap_servers=kafka,
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
        )
    return AIOKafkaProducer(
        bootstrap_servers=kafka,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        linger_ms=0,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
    )
