"""What does the main job cost, against the least that Kafka itself costs in the same run?

    .venv/bin/python -m tests.bench.main_job [ALARMS]

Throughput: CPU an alarm of ingest and of the classifier, 90 % of the alarms being repeats, against one
process that only consumes, decodes and writes the same number of records on. Latency: report to Fault,
report to page, against one plain hop through Kafka. Prints a table of ratios, and JSON on the last line.
"""

import asyncio
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.servers import RunningServers, running_servers
from shared.documents.report import AlarmReport
from shared.kafka.topics import apply_topics
from shared.times import now_ms, to_rfc3339
from tests.acceptance.stack import PARTITIONS, Stack, started
from tests.conditions import until

LATENCY_SAMPLES = 100
DISTINCT_SHARE = 10  # one alarm in ten opens a fault, the others repeat one
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def reports(count: int) -> list[bytes]:
    """Alarms of `count / 10` conditions, each said ten times."""
    at = to_rfc3339(now_ms())
    distinct = max(1, count // DISTINCT_SHARE)
    return [
        json.dumps(
            {
                "emu_id": f"emu-{number % distinct}",
                "site_id": f"site-{number % distinct % 997}",
                "code": "sunspec:203.Evt.2",
                "state": "raised",
                "at": at,
            }
        ).encode()
        for number in range(count)
    ]


async def fill(kafka: str, topic: str, values: list[bytes]) -> None:
    """Write all of them, spread over the partitions, in large batches."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=1 << 19, linger_ms=0)
    await producer.start()
    for partition in range(PARTITIONS):
        batch = producer.create_batch()
        for value in values[partition::PARTITIONS]:
            if batch.append(key=None, value=value, timestamp=None) is None:
                await (await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(key=None, value=value, timestamp=None)
        await (await producer.send_batch(batch, topic, partition=partition))
    await producer.stop()


async def floor_cpu_s(kafka: str, source: str, target: str, count: int) -> float:
    """This process's CPU to consume, decode and write on `count` records, and nothing else."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=1 << 19, linger_ms=0)
    await consumer.start()
    await producer.start()
    partitions = [TopicPartition(source, partition) for partition in range(PARTITIONS)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    decode = msgspec.json.Decoder(AlarmReport).decode
    seen = 0
    before = resource.getrusage(resource.RUSAGE_SELF)
    while seen < count:
        for partition, records in (await consumer.getmany(timeout_ms=500)).items():
            batch = producer.create_batch()
            for record in records:
                decode(record.value or b"")
                if batch.append(key=None, value=record.value, timestamp=None) is None:
                    await producer.send_batch(batch, target, partition=partition.partition)
                    batch = producer.create_batch()
                    batch.append(key=None, value=record.value, timestamp=None)
            await producer.send_batch(batch, target, partition=partition.partition)
            seen += len(records)
    await producer.flush()
    after = resource.getrusage(resource.RUSAGE_SELF)
    await consumer.stop()
    await producer.stop()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def floor_topics(stack: Stack) -> str:
    """The prefix of two topics, `-in` and `-out`, with nobody else on them."""
    scratch = f"{stack.topics.prefix}-floor"
    await apply_topics(
        stack.kafka,
        scratch,
        partitions=PARTITIONS,
        replication=1,
        inputs=(f"{scratch}-in", f"{scratch}-out"),
    )
    return scratch


async def throughput(stack: Stack, values: list[bytes]) -> dict[str, float]:
    """CPU an alarm in us: the floor's, and that of ingest and classifier until nothing is left."""
    count = len(values)
    scratch = await floor_topics(stack)
    await fill(stack.kafka, f"{scratch}-in", values)
    floor_s = await floor_cpu_s(stack.kafka, f"{scratch}-in", f"{scratch}-out", count)

    pids = {name: stack.pid(name) for name in ("ingest", "classifier")}
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    began_s = time.monotonic()
    await fill(stack.kafka, stack.input, values)

    async def judged() -> bool:
        status = await asyncio.to_thread(stack.bakvakt.status)
        open_faults = sum(status["faults"].values())
        return open_faults >= count // DISTINCT_SHARE and not any(
            status["lag"][name] for name in pids
        )

    await until(judged, timeout_s=600)
    took_s = time.monotonic() - began_s
    used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    return {
        "floor_us": floor_s / count * 1e6,
        **{f"{name}_us": used[name] / count * 1e6 for name in pids},
        "alarms_per_s": count / took_s,
    }


async def latency(stack: Stack) -> dict[str, list[float]]:
    """Seconds from the producer's send to what a reader sees: a plain hop, the Fault, the page."""
    hop_topic = f"{await floor_topics(stack)}-out"
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
    consumer = AIOKafkaConsumer(
        hop_topic,
        stack.topics.faults,
        bootstrap_servers=stack.kafka,
        auto_offset_reset="latest",
        isolation_level="read_committed",
    )
    await producer.start()
    await consumer.start()
    await consumer.getmany(timeout_ms=1000)
    found: dict[str, list[float]] = {"hop": [], "fault": [], "page": []}
    for number in range(LATENCY_SAMPLES):
        began_s = time.perf_counter()
        await producer.send(hop_topic, b"x")
        while (await consumer.getone()).topic != hop_topic:
            pass
        found["hop"].append(time.perf_counter() - began_s)

        emu_id = f"latency-{number}"
        report = {
            "emu_id": emu_id,
            "site_id": emu_id,
            "code": "sunspec:701.Alrm.0",
            "state": "raised",
            "at": to_rfc3339(now_ms()),
        }
        began_s = time.perf_counter()
        await producer.send(stack.input, json.dumps(report).encode())
        while emu_id.encode() not in ((await consumer.getone()).value or b""):
            pass
        found["fault"].append(time.perf_counter() - began_s)
        await until(lambda emu_id=emu_id: _is_paged(stack, emu_id))
        found["page"].append(time.perf_counter() - began_s)
    await consumer.stop()
    await producer.stop()
    return found


def _is_paged(stack: Stack, emu_id: str) -> bool:
    return any(page["page"]["emu_id"] == emu_id for page in stack.pages()[-3:])


def show(costs: dict[str, float], times: dict[str, list[float]]) -> None:
    floor_us = costs["floor_us"]
    print(f"\n{'CPU an alarm':<22}{'us':>8}{'x floor':>10}")
    for name in ("floor", "ingest", "classifier"):
        us = costs[f"{name}_us"]
        print(f"{name:<22}{us:>8.1f}{us / floor_us:>10.1f}")
    print(f"{'alarms/s, all on 2 cores':<22}{costs['alarms_per_s']:>8.0f}")
    print(f"\n{'latency':<22}{'p50 ms':>8}{'p99 ms':>8}{'x hop':>8}")
    hop_s = statistics.median(times["hop"])
    for name, values in times.items():
        p50_s, p99_s = statistics.median(values), statistics.quantiles(values, n=100)[98]
        print(f"{name:<22}{p50_s * 1e3:>8.1f}{p99_s * 1e3:>8.1f}{p50_s / hop_s:>8.1f}")
    print(
        json.dumps(
            {
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "python": platform.python_version(),
                **costs,
                **{f"{name}_p50_ms": statistics.median(v) * 1e3 for name, v in times.items()},
                **{
                    f"{name}_p99_ms": statistics.quantiles(v, n=100)[98] * 1e3
                    for name, v in times.items()
                },
            }
        )
    )


def run(servers: RunningServers, count: int) -> None:
    """Start the four services, measure, and print."""
    prefix = f"bench{os.getpid()}"
    with (
        tempfile.TemporaryDirectory() as directory,
        started(Path(directory) / "state", servers, prefix, {}) as stack,
    ):
        times = asyncio.run(latency(stack))  # first: it is the latency of an idle system
        costs = asyncio.run(throughput(stack, reports(count)))
    show(costs, times)


def main() -> None:
    """Servers first: they want the main thread, and an event loop that ends before ours begin."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with asyncio.Runner() as runner:
        context = running_servers()
        servers = runner.run(context.__aenter__())
        try:
            run(servers, count)
        finally:
            runner.run(context.__aexit__(None, None, None))


if __name__ == "__main__":
    main()
