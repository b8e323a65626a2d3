"""What one page says of another is there."""

import re
from pathlib import Path

from deploy.local.state import ROOT

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
DECISION = re.compile(r"docs/adr/(\d{4})")


def files(*endings: str) -> list[Path]:
    """Ours; not those of what is installed beside them."""
    folders = ("deploy", "docs", "services", "shared", "tests")
    found = [*ROOT.iterdir(), *(path for name in folders for path in (ROOT / name).rglob("*"))]
    return [path for path in found if path.name.endswith(endings) and path.is_file()]


def test_links_between_pages_lead_to_files() -> None:
    pages = files(".md")
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert len(pages) > 20
    assert dead == []


def test_decisions_have_numbers_in_a_row_and_those_that_code_names_are_there() -> None:
    numbers = sorted(path.name[:4] for path in (ROOT / "docs/adr").glob("*.md"))
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    named = {
        number
        for path in files(".py", ".toml", ".lua", ".sh", ".yaml", "Dockerfile")
        for number in DECISION.findall(path.read_text(encoding="utf-8"))
    }
    assert named <= set(numbers)
