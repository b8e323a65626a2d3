"""What runs before a commit is what `./bakvakt test` runs before the tests."""

from typing import Any

import yaml

from deploy.cli.check import CHECKS
from deploy.local.state import ROOT


def hooks() -> list[dict[str, Any]]:
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    return [hook for repository in content["repos"] for hook in repository["hooks"]]


def test_the_hooks_are_the_checks_of_the_command_line() -> None:
    expected = [" ".join((f".venv/bin/{program}", *rest)) for program, *rest in CHECKS]
    assert [hook["entry"] for hook in hooks()] == expected


def test_the_hooks_look_at_everything_and_install_nothing() -> None:
    for hook in hooks():
        assert hook["language"] == "system", hook["id"]
        # With names of files a check would see a part only, and types and imports cross files.
        assert hook["pass_filenames"] is False, hook["id"]
        assert hook["always_run"] is True, hook["id"]
