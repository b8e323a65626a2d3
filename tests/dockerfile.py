"""What deploy/docker/Dockerfile says, and the tree that its image has, made without a container engine."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.local.state import ROOT

DOCKERFILE = ROOT / "deploy/docker/Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    stage: int
    """0 is the first FROM."""
    word: str
    text: str

    def list(self) -> list[str]:
        """The words of the form ["a", "b"]."""
        return json.loads(self.text[self.text.index("[") :])


def instructions() -> list[Instruction]:
    """All of them in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    stage, found = -1, list[Instruction]()
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            stage += word == "FROM"
            found.append(Instruction(stage, word, rest.strip()))
    return found


def final(word: str) -> Instruction:
    """The only instruction of that name in the last stage."""
    last = instructions()[-1].stage
    (found,) = (one for one in instructions() if one.word == word and one.stage == last)
    return found


def copied() -> list[tuple[str, str]]:
    """Source in the clone and target in the image of each COPY that is not from another stage."""
    words = [one.text.split() for one in instructions() if one.word == "COPY"]
    return [(first, second) for first, second, *_ in words if not first.startswith("--")]


def variables() -> dict[str, str]:
    """ENV of the last stage."""
    return dict(re.findall(r"(\w+)=(\S+)", final("ENV").text))


def copy_tree(target: Path) -> None:
    """What is copied into the first stage's /opt/bakvakt, into `target`."""
    for source, name in copied():
        origin = ROOT / source
        if name.startswith("/"):
            continue
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".env")
            shutil.copytree(origin, target / name, ignore=ignored)
        else:
            shutil.copy2(origin, target / name)
