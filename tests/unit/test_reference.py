"""docs/reference/ says what the code says, and leaves nothing out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from deploy.local.state import ROOT
from deploy.local.supervisor import SERVICES
from deploy.reference.__main__ import FOLDER, pages
from deploy.reference.metrics import HEAD as METRIC_HEAD
from deploy.reference.settings import HEAD as SETTING_HEAD
from deploy.reference.settings import setting_rows
from shared.config import Secret

CODE = ("bakvakt", "deploy", "services", "shared")
WRITTEN = re.compile(r"\bBAKVAKT_[A-Z]+(?:_[A-Z]+)*\b")
# A name that the code makes of PREFIX and its second part.
COMPOSED = re.compile(r'(?:PREFIX \+ "|\{PREFIX\})([A-Z_]+)')
DECLARED = re.compile(r'\b(?:Counter|Gauge|Histogram|Summary|Info|Enum)\(\s*"(\w+)"')


def sources(*folders: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    for folder in folders:
        path = ROOT / folder
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix in suffixes:
                yield file.read_text(encoding="utf-8")


def page(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", pages(), ids=lambda file: file.name)
def test_the_page_says_what_the_code_says(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == pages()[file], (
        f"{file.name} is not as the code has it; run .venv/bin/python -m deploy.reference"
    )


def test_the_page_has_every_setting_that_is_read_or_named_anywhere() -> None:
    texts = list(sources(*CODE, suffixes=("", ".py", ".sh", ".toml", ".yaml", ".yml", ".example")))
    texts += sources("README.md", "docs", "services", suffixes=(".md",))
    named = {name for text in texts for name in WRITTEN.findall(text)}
    named |= {f"BAKVAKT_{name}" for text in texts for name in COMPOSED.findall(text)}
    assert {"BAKVAKT_STATE", "BAKVAKT_CONFIG", "BAKVAKT_ROSTER"} <= named
    missing = {name for name in named if f"| `{name}` |" not in page("settings.md")}
    assert not missing, (
        "declare them: a service's in its config.py, the command line's in deploy/settings.py"
    )


def test_the_page_has_every_metric_that_is_declared_anywhere() -> None:
    texts = sources(*CODE, suffixes=(".py",))
    declared = {name for text in texts for name in DECLARED.findall(text)}
    assert len(declared) > 20
    missing = {name for name in declared if f"| `{name}` |" not in page("metrics.md")}
    assert not missing, "declare them in the service's metrics.py, or in shared/metrics.py"


def test_each_row_has_a_meaning() -> None:
    for text, head in ((page("settings.md"), SETTING_HEAD), (page("metrics.md"), METRIC_HEAD)):
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        assert rows
        for row in rows:
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            assert len(cells) == len(head), row
            assert cells[-1], row


def test_the_default_of_a_secret_is_never_shown() -> None:
    class Hidden(Secret):
        __slots__ = ()

    class Example(msgspec.Struct):
        plain: Annotated[Secret, msgspec.Meta(description="a key")] = Secret("hunter2")
        derived: Hidden | None = Hidden("hunter3")
        bare: Secret = Secret("hunter4")
        open: str = "seen"

    text = str(setting_rows(Example))
    assert "hunter" not in text
    assert "seen" in text


def test_the_readme_of_each_service_leads_to_its_settings_and_metrics() -> None:
    for service in SERVICES:
        readme = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8")
        for name in ("settings", "metrics"):
            assert f"(../../docs/reference/{name}.md#{service})" in readme, service
            assert f"\n## {service.capitalize()}\n" in page(f"{name}.md")
