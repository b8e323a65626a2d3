"""Kafka's own cost by aiokafka: the floors that the other benches are held against."""

import msgspec
import uvloop

from shared.documents.report import AlarmReport
from tests.bench import floors
from tests.bench.figures import Measurement, percentile
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.loads import reports, spread
from tests.bench.meter import Cost
from tests.bench.service import make_topics

HOPS = 200


def run(setup: Setup) -> Repetitions:
    """Fresh topics for each repetition: `in` is read, `out` written, `hop` for one record at a time."""
    for number in setup.repetitions:
        yield uvloop.run(_measure(setup, f"kafka-{number}"))


async def _measure(setup: Setup, prefix: str) -> list[Measurement]:
    kafka, broker_pid, count = setup.servers.kafka, setup.broker_pid, setup.size
    names = ("in", "out", "hop", "source", "target")
    source, out, hop, first, second = (f"{prefix}-{name}" for name in names)
    await make_topics(setup, prefix, source, out, hop, first, second)
    records = reports(count, conditions=count)
    await floors.fill(kafka, source, spread(records))
    decode = msgspec.json.Decoder(AlarmReport).decode

    consume = await floors.consume(kafka, source, count, broker_pid=broker_pid)
    decoded = await floors.consume(kafka, source, count, broker_pid=broker_pid, decode=decode)
    carried = await floors.consume(
        kafka, source, count, broker_pid=broker_pid, decode=decode, target=out, outputs=records
    )
    batched = await floors.send_batches(kafka, out, records, broker_pid=broker_pid)
    each = await floors.send_each(kafka, out, records, broker_pid=broker_pid)
    samples = min(HOPS, count)
    plain_s = await floors.hops_s(kafka, hop, samples)
    transactional_s = await floors.transactional_hops_s(kafka, first, second, samples)
    return [
        *_costs("consume", consume, count),
        *_costs("consume, decode", decoded, count, "consume"),
        *_costs("consume, decode, send_batch", carried, count, "consume"),
        *_costs("send_batch", batched, count),
        *_costs("send", each, count, "send_batch"),
        *_latencies("hop", plain_s),
        *_latencies("transactional hop", transactional_s, "hop"),
    ]


def _costs(name: str, cost: Cost, count: int, floor: str | None = None) -> list[Measurement]:
    """Of one record: the client's CPU, the broker's, and how many a second went through."""
    return [
        Measurement(name, "us", cost.cpu_s / count * 1e6, floor),
        Measurement(f"{name}: broker", "us", cost.servers_s["broker"] / count * 1e6),
        Measurement(f"{name}: rate", "1/s", count / cost.took_s),
    ]


def _latencies(name: str, times_s: list[float], floor: str | None = None) -> list[Measurement]:
    return [
        Measurement(
            f"{name} {label}", "ms", percentile(times_s, share) * 1e3, floor and f"{floor} {label}"
        )
        for label, share in (("p50", 0.5), ("p99", 0.99))
    ]


BENCH = Bench(
    name="kafka",
    question="What do reading, decoding and writing a record cost in aiokafka, and one hop?",
    size=100_000,
    counts="records",
    run=run,
)
