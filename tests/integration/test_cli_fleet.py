"""`bakvakt fleet` against a real dispatch, as it is typed."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from deploy.simulator.fleet import make_fleet
from shared.documents.emu import encode_emu_record
from tests.integration.dispatch_stage import Stage, staged

FLEET = b"".join(encode_emu_record(record) + b"\n" for record in make_fleet(1, 30)).decode()


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    async with staged(kafka, postgres_url, prefix) as made:
        yield made


async def run(url: str, *arguments: str, typed: str | None = None) -> Result:
    environ = {"BAKVAKT_URL": url, "BAKVAKT_BY": "Ada"}
    command = ["fleet", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, app, command, input=typed, env=environ)


async def test_a_fleet_goes_in_and_out_and_in_again(stage: Stage, tmp_path: Path) -> None:
    async with stage.dispatch() as url:
        would = await run(url, "import", "-", "--dry-run", typed=FLEET)
        assert would.stdout.startswith("Would be: 30 EMUs new"), would.output
        done = await run(url, "import", "-", typed=FLEET)
        assert done.exit_code == 0
        assert done.stdout.startswith("30 EMUs new, 0 changed, 0 as before"), done.output
        assert "emu-0001  new at site-akureyri" in done.stdout
        assert "... and 10 more" in done.stdout
        for name in ("fleet.csv", "fleet.jsonl"):
            file = tmp_path / name
            assert (await run(url, "export", str(file))).exit_code == 0
            again = await run(url, "import", str(file), "--json")
            assert json.loads(again.stdout)["unchanged"] == 30
        csv = (tmp_path / "fleet.csv").read_text("utf-8").replace("commissioning", "in_service")
        (tmp_path / "fleet.csv").write_text(csv, "utf-8")
        changed = await run(url, "import", str(tmp_path / "fleet.csv"))
        assert "emu-0025  state: commissioning -> in_service" in changed.stdout
        shown = await run(url, "show", "emu-0025")
        for text in ("in_service", "site-", "pcs: pcs, ", "Revision      2"):
            assert text in shown.stdout, shown.output
        listed = await run(url, "show", "--state", "in_service", "--limit", "2")
        assert [line.split()[1] for line in listed.stdout.splitlines()[1:]] != []
        assert "--limit 4" in listed.stderr
        nothing = await run(url, "show", "--site", "nowhere")
        assert (nothing.exit_code, "fleet import" in nothing.stderr) == (0, True)
        exported = await run(url, "export")
        assert len(exported.stdout.splitlines()) == 30


async def test_what_is_wrong_with_a_file_is_told_line_by_line(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text("emu_id,site_id,state\ne1,s1,gone\ne2,,\n", "utf-8")
    async with stage.dispatch() as url:
        refused = await run(url, "import", str(file))
        assert refused.exit_code == 1
        first, second, last = refused.stderr.splitlines()
        assert first.startswith(f'{file}, line 2: state: is "gone"; it must be commissioning,')
        assert second.startswith(f"{file}, line 3: site_id: is nothing")
        assert last == "Nothing was changed: 2 things are wrong"
        as_json = await run(url, "import", str(file), "--json")
        assert [each["line"] for each in json.loads(as_json.stdout)["problems"]] == [2, 3]
        missing = await run(url, "show", "emu-9")
        assert missing.exit_code == 1
        assert "There is no EMU emu-9; see: bakvakt fleet show" in missing.stderr
        for wrong, says in (
            (("import", str(tmp_path / "none.csv")), "cannot be read"),
            (("import", str(tmp_path / "fleet.txt")), "say which with --format"),
            (("export", str(tmp_path / "no" / "fleet.csv")), "cannot be written"),
            (("export", "-", "--format", "xml"), "csv and jsonl"),
        ):
            said = await run(url, *wrong)
            assert said.exit_code != 0
            assert says in said.stderr, said.output
