"""The image, as far as it can be judged without a container engine."""

import re
import tomllib

import msgspec

from deploy.docker import probe
from deploy.local.state import ROOT
from deploy.local.supervisor import SERVICES
from deploy.reference.services import settings_of
from tests.dockerfile import copied, final, instructions, variables

Packages = dict[str, tuple[str, set[str]]]


def locked(name: str) -> Packages:
    """Version and hashes of each package."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", text)
    packages: Packages = {}
    for entry in entries:
        found = re.match(r"([a-z0-9._-]+)==([^\s;\\]+)", entry)
        assert found, entry
        packages[found[1]] = (found[2], set(re.findall(r"--hash=(\S+)", entry)))
    return packages


def test_all_stages_start_from_the_same_pinned_python() -> None:
    images = {one.text.split()[0] for one in instructions() if one.word == "FROM"}
    (image,) = images
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", image)


def test_what_is_copied_is_there_and_nothing_else_reaches_the_build() -> None:
    sources = [source for source, _ in copied()]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert {source.partition("/")[0] for source in sources} == let_in
    assert "**/.env" in rules


def test_the_image_runs_as_nobody_in_particular_and_ends_at_sigterm() -> None:
    user, _, group = final("USER").text.partition(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert final("STOPSIGNAL").text == "SIGTERM"
    # In the other form a shell gets the signal and keeps it.
    assert final("ENTRYPOINT").list() == ["bakvakt"]
    assert (ROOT / "deploy/docker/bakvakt").stat().st_mode & 0o111
    last = instructions()[-1].stage
    assert [one.word for one in instructions() if one.stage == last].index("USER") > 0


def test_the_image_has_no_compiler_and_no_package_of_the_developers() -> None:
    steps = " ".join(one.text for one in instructions() if one.word == "RUN")
    assert not re.search(r"\b(apt|apt-get|curl|wget|gcc|build-essential)\b", steps)
    (install,) = (part for part in steps.split("&&") if " install " in part)
    for option in ("--require-hashes", "--only-binary :all:", "--no-cache-dir"):
        assert option in install
    assert "--requirement requirements-run.lock" in install


def test_the_lock_of_the_image_is_the_part_of_the_lock_that_services_need() -> None:
    run, everything = locked("requirements-run.lock"), locked("requirements.lock")
    again = "the lock files differ; run deploy/lock.sh"
    assert {name: everything.get(name) for name in run} == run, again
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^a-z0-9-]", one.lower())[0] for one in requirements}

    assert names(project["project"]["dependencies"]) <= set(run), again
    assert not names(project["dependency-groups"]["dev"]) & set(run), again
    assert all(hashes for _, hashes in run.values())


def test_the_health_check_asks_without_a_shell_and_knows_each_services_port() -> None:
    check = final("HEALTHCHECK")
    assert check.list() == ["python", "-m", "deploy.docker.probe", "/livez"]
    ports = {
        field.default
        for service in SERVICES
        for field in msgspec.structs.fields(settings_of(service))
        if field.name == "port"
    }
    assert set(probe.PORTS) == ports


def test_the_code_is_found_and_nothing_is_written() -> None:
    assert variables()["PYTHONPATH"] == "/opt/bakvakt"
    assert variables()["PYTHONSAFEPATH"] == "1"
    assert variables()["PYTHONDONTWRITEBYTECODE"] == "1"
