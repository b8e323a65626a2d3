"""What one page says of another is there."""

import re
import subprocess
from pathlib import Path

from deploy.local.state import ROOT

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
DECISION = re.compile(r"docs/adr/(\d{4})")


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository."""
    command = ["git", "ls-files", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_links_between_pages_lead_to_files() -> None:
    pages = tracked("*.md")
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert len(pages) > 20
    assert dead == []


def test_decisions_have_numbers_in_a_row_and_those_that_code_names_are_there() -> None:
    numbers = [path.name[:4] for path in tracked("docs/adr/*.md")]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    named = {
        number
        for path in tracked("*.py", "*.toml", "*.lua", "*.sh", "*.yaml", "deploy/docker/Dockerfile")
        for number in DECISION.findall(path.read_text(encoding="utf-8"))
    }
    assert named <= set(numbers)
