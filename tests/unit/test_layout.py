"""The same file names for the same roles in all services, so that who knows one finds their way in all."""

import importlib
import re
from pathlib import Path

import pytest

from deploy.local.state import ROOT
from deploy.local.supervisor import SERVICES

# What each service has, and what is in it.
FILES = {
    "README.md": "**Purpose.**",
    "__init__.py": "",
    "__main__.py": "`python -m services.",
    "config.py": "Settings, frozen=True, kw_only=True)",
    "main.py": "run_service(build)",
    "metrics.py": "from prometheus_client import",
    "task.py": "class ",
}
# What a reader finds in each README, in this order.
PARTS = (
    "**Purpose.**",
    "**In**:",
    "**Out**:",
    "**Promises**",
    "**How it fails**",
    "**Settings and metrics**:",
    "**Where**:",
)

each_service = pytest.mark.parametrize("service", SERVICES)


def folder(service: str) -> Path:
    return ROOT / "services" / service


def test_there_are_these_services_and_no_others() -> None:
    found = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
    assert found == set(SERVICES)


@each_service
@pytest.mark.parametrize("name", FILES)
def test_a_service_has_the_file_of_each_role(service: str, name: str) -> None:
    assert FILES[name] in (folder(service) / name).read_text(encoding="utf-8")


@each_service
def test_a_readme_says_what_goes_in_and_out_what_is_promised_and_how_it_fails(service: str) -> None:
    text = (folder(service) / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {service.capitalize()}\n")
    at = [text.find(part) for part in PARTS]
    assert -1 not in at, PARTS[at.index(-1)]
    assert at == sorted(at)


@each_service
def test_a_readme_names_files_that_are_there(service: str) -> None:
    text = (folder(service) / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+\.(?:py|lua|toml))`", text.partition("**Where**:")[2]):
        assert (folder(service) / name).exists(), name


@each_service
def test_a_service_is_built_and_run_in_the_same_way(service: str) -> None:
    module = importlib.import_module(f"services.{service}.main")
    assert {"build", "main"} <= set(vars(module))
    assert f"{service.capitalize()}Service" in vars(module)
