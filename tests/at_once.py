"""Rules without holds and delays, for tests of what comes after them: every change is told at once."""

import re
from pathlib import Path

from services.classifier.config import load_configuration
from services.classifier.rules import Rules
from shared import catalogue

KINDS = Path(catalogue.__file__).with_name("kinds.toml")
NO_HOLDS = "".join(f"[grade.{grade}]\nhold_s = 0\n" for grade in "BCD")


def settings_at_once(directory: Path) -> dict[str, str]:
    """Variables that name a policy and a catalogue without waits, written below `directory`.

    Chatter waits all the same: no variable changes that.
    """
    folder = directory / "catalogue"
    folder.mkdir(parents=True)
    kinds = re.sub(r"(?m)^(on|off)_delay_s = \d+", r"\1_delay_s = 0", KINDS.read_text("utf-8"))
    (folder / "kinds.toml").write_text(kinds, "utf-8")
    policy = directory / "policy.toml"
    policy.write_text(NO_HOLDS, "utf-8")
    return {"BAKVAKT_CATALOGUE": str(folder), "BAKVAKT_POLICY": str(policy)}


def rules_at_once(directory: Path) -> Rules:
    """The same, and nothing is chatter, for a classifier within the test's own process."""
    _, rules = load_configuration(settings_at_once(directory))
    return rules._replace(chatter_ms=0)
