"""`.venv/bin/python -m deploy.reference`: writes the reference pages anew."""

from collections.abc import Mapping
from pathlib import Path

from deploy.local.state import ROOT
from deploy.reference.metrics import metrics_page
from deploy.reference.settings import settings_page

FOLDER = ROOT / "docs/reference"


def pages() -> Mapping[Path, str]:
    """Each page with what must stand there."""
    return {FOLDER / "settings.md": settings_page(), FOLDER / "metrics.md": metrics_page()}


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(ROOT))


if __name__ == "__main__":
    main()
