"""`bakvakt bench` as a user runs it. How fast anything is, no test says."""
# ruff: noqa: ASYNC220 - a test may start processes

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import bench
from deploy.cli.main import app
from deploy.local.process import ProcessIdentity
from deploy.local.state import ROOT
from tests.bench.frame import Run
from tests.bench.meter import Meter, children, cpu_s, tree_cpu_s
from tests.conditions import until


def bakvakt_bench(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "bakvakt", "bench", *arguments], capture_output=True, text=True, check=False
    )


def test_a_bench_prints_its_ratios_and_writes_what_a_later_run_is_compared_with(
    tmp_path: Path,
) -> None:
    file = tmp_path / "kafka.json"
    done = bakvakt_bench("kafka", "--size", "50", "-r", "1", "--json", file)
    assert done.returncode == 0, done.stderr
    assert "x floor" in done.stdout

    run = msgspec.json.decode(file.read_bytes(), type=Run)
    assert (run.bench, run.size, run.counts, run.repetitions) == ("kafka", 50, "records", 1)
    assert run.machine.cores >= 1
    assert {"Kafka", "Redis", "aiokafka", "msgspec"} <= set(run.machine.versions)
    figures = {figure.name: figure for figure in run.figures}
    assert all(len(figure.values) == 1 for figure in run.figures)
    assert all(figure.value.least > 0 for figure in run.figures if figure.unit == "ms")
    send = figures["send"]
    assert send.floor == "send_batch"
    assert send.ratios == tuple(
        ours / floor for ours, floor in zip(send.values, figures["send_batch"].values, strict=True)
    )


@pytest.mark.long
def test_sigterm_ends_what_it_has_started_and_leaves_nothing() -> None:
    home = Path(tempfile.mkdtemp())
    home.chmod(0o711)  # PostgreSQL's account passes through
    command = [ROOT / "bakvakt", "bench", "kafka"]
    environment = os.environ | {"TMPDIR": str(home)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert any("They serve" in line for line in running.stderr)
        servers = [ProcessIdentity.of(child) for child in children(running.pid)]
        running.terminate()
        assert running.wait(30) == 128 + signal.SIGINT
    assert len(servers) >= 3
    assert not any(server and server.is_alive() for server in servers)
    home.rmdir()  # it is empty


def test_without_a_name_the_benches_are_listed_with_their_questions() -> None:
    listed = bakvakt_bench()
    assert listed.returncode == 0
    summaries = json.loads(bakvakt_bench("--json", "-").stdout)
    names = [summary["name"] for summary in summaries]
    assert {"main-job", "ingest", "classifier", "timer", "kafka", "redis"} <= set(names)
    for summary in summaries:
        assert summary["name"] in listed.stdout
        assert summary["question"].endswith("?")


def test_all_that_is_wrong_is_said_before_anything_is_started(tmp_path: Path) -> None:
    no_run = tmp_path / "no-run.json"
    no_run.write_text("{}")
    done = bakvakt_bench("kafak", "--compare", no_run, "--json", "/nowhere/file")
    assert done.returncode == 2
    wrong_name, wrong_file, wrong_target = done.stderr.splitlines()
    assert "'kafak'" in wrong_name
    assert "main-job, " in wrong_name
    assert str(no_run) in wrong_file
    assert "/nowhere/file" in wrong_target


def test_where_the_tests_are_not_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "BENCHES", tmp_path / "tests/bench")
    done = CliRunner().invoke(app, ["bench", "kafka"])
    assert done.exit_code == 1
    assert "clone" in done.output


async def test_cpu_time_is_that_of_the_process_with_its_children_where_asked() -> None:
    spin = "while :; do :; done"
    with subprocess.Popen(["sh", "-c", f"sh -c '{spin}' & {spin}"], process_group=0) as parent:
        try:
            meter = Meter(parent=parent.pid)
            await until(lambda: cpu_s(parent.pid) > 0.1)
            await until(lambda: tree_cpu_s(parent.pid) > cpu_s(parent.pid) + 0.1)
            cost = meter.read()
        finally:
            os.killpg(parent.pid, 9)
    assert cost.servers_s["parent"] > 0.2
    assert cost.took_s > 0
    with pytest.raises(ProcessLookupError):
        cpu_s(parent.pid)


def test_a_meter_counts_this_process() -> None:
    meter = Meter()
    began_s = time.process_time()
    while time.process_time() - began_s < 0.05:
        pass
    cost = meter.read()
    assert cost.cpu_s >= 0.05
    assert cost.took_s >= cost.cpu_s * 0.5
