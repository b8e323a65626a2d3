"""deploy/docker/compose.yaml, as far as it can be judged without a container engine."""

import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
import pytest
import yaml

from deploy.local import kafka_server, redis_server
from deploy.local.state import DEFAULTS_OF_UP, ROOT
from deploy.local.supervisor import PORTS, SERVICES
from deploy.reference.services import settings_of
from deploy.reference.settings import is_secret
from shared.config import PREFIX, load
from tests.dockerfile import final

FOLDER = ROOT / "deploy/docker"
FILE = FOLDER / "compose.yaml"
LEAVES_WITHIN_S = 20
OURS = (*SERVICES, "topics", "dispatch-host")

each_service = pytest.mark.parametrize("service", SERVICES)


@cache
def compose() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def service(name: str) -> dict[str, Any]:
    return compose()["services"][name]


def environment(name: str) -> dict[str, Any]:
    """The variables of Bakvakt that a container gets; None: where the caller's environment has it."""
    return {
        key: value for key, value in service(name)["environment"].items() if key.startswith(PREFIX)
    }


def host(name: str) -> str:
    """The name under which others reach a service: its own, or that of the host on which it stands."""
    return service(name).get("network_mode", f"service:{name}").removeprefix("service:")


def published(name: str) -> list[str]:
    return service(name).get("ports", [])


def targets(path: str) -> dict[str, list[str]]:
    groups = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return {group["labels"]["job"]: group["targets"] for group in groups}


def bind_mounts() -> Iterator[str]:
    for one in compose()["services"].values():
        for volume in one.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                yield source


def test_it_is_a_compose_file_by_the_official_schema() -> None:
    program = ROOT / ".venv/bin/check-jsonschema"
    result = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_images_are_pinned_to_the_versions_that_we_rely_on() -> None:
    images = {name: one["image"] for name, one in compose()["services"].items()}
    for image in images.values():
        assert re.fullmatch(r"[a-z./]+:v?\d+(\.\d+)+(-[a-z]+)?(@sha256:[0-9a-f]{64})?", image)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {images[name] for name in OURS} == {f"bakvakt:{project['version']}"}
    pom = (ROOT / "deploy/local/kafka/pom.xml").read_text(encoding="utf-8")
    local_kafka = re.search(r"kafka_2\.13</artifactId>\s*<version>([\d.]+)<", pom)
    assert local_kafka is not None
    assert images["kafka"] == f"apache/kafka:{local_kafka[1]}"
    assert images["redis"].startswith("redis:7.")


def test_the_four_services_and_the_topics_are_made_of_one_image() -> None:
    built = {name for name, one in compose()["services"].items() if "build" in one}
    assert built == {"topics"}
    build = service("topics")["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).exists()
    # An image of that name elsewhere is somebody else's.
    pulls = {name: service(name)["pull_policy"] for name in OURS}
    assert pulls.pop("topics") == "build"
    assert set(pulls.values()) == {"never"}


@each_service
def test_each_variable_is_a_setting_of_its_service_and_has_a_value_that_it_takes(
    service: str,
) -> None:
    given = {
        name: str(value).replace("${POSTGRES_PASSWORD}", "0a1b")
        for name, value in environment(service).items()
        if value is not None
    }
    kind = settings_of(service)
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert {name.removeprefix(PREFIX).lower() for name in environment(service)} <= fields
    settings = load(kind, given, service)
    assert msgspec.structs.asdict(settings)["port"] == PORTS[service]
    for name, value in DEFAULTS_OF_UP.items():
        assert given[name] == value


def test_topics_are_made_as_the_services_want_them() -> None:
    wanted = {f"{PREFIX}{name}" for name in ("KAFKA", "PARTITIONS", "REPLICATION", "INPUT_TOPICS")}
    assert environment("topics").keys() == wanted
    assert environment("topics").items() <= environment("ingest").items()
    assert service("topics")["command"] == ["topics", "apply", "--inputs"]


def test_no_secret_is_written_into_the_file() -> None:
    secrets = {
        (name, PREFIX + field.name.upper())
        for name in SERVICES
        for field in msgspec.structs.fields(settings_of(name))
        if is_secret(field.type)
    }
    assert len(secrets) >= len(("postgres", "webhook_secret", "redis"))
    for name, variable in secrets:
        # An address may stand here, a password not; a key not at all.
        value = environment(name).get(variable) or "nothing://"
        assert "://" in value, variable
        password = re.search(r"//[^/@]*:([^/@]*)@", value)
        assert password is None or password[1].startswith("${"), variable
    assert service("postgres")["environment"]["POSTGRES_PASSWORD"].startswith("${")


def test_the_example_of_env_names_what_the_file_leaves_open() -> None:
    text = FILE.read_text(encoding="utf-8")
    interpolated = set(re.findall(r"\$\{(\w+)", text))
    passed_on = {key for name in SERVICES for key, value in environment(name).items() if not value}
    example = (FOLDER / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) == interpolated | passed_on
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def test_dispatch_is_reached_from_its_own_host_only() -> None:
    assert f"{PREFIX}HOST" not in environment("dispatch")
    on_its_host = {name for name in compose()["services"] if host(name) == host("dispatch")}
    assert on_its_host == {"dispatch", "dispatch-host", "prometheus"}
    for name in on_its_host:
        assert all(not port.endswith(f":{PORTS['dispatch']}") for port in published(name))


def test_ports_are_published_on_loopback_only_and_none_of_ours() -> None:
    ports = {port for name in compose()["services"] for port in published(name)}
    assert all(port.startswith("127.0.0.1:") for port in ports)
    inside = {int(port.rpartition(":")[2]) for port in ports}
    assert not inside & {PORTS[name] for name in SERVICES}


def test_prometheus_finds_each_service_where_it_answers() -> None:
    expected = {
        f"bakvakt-{name}": [
            f"{'127.0.0.1' if host(name) == host('prometheus') else name}:{PORTS[name]}"
        ]
        for name in SERVICES
    }
    assert targets("deploy/docker/targets.yml") == expected
    for name in SERVICES:
        if host(name) != host("prometheus"):
            assert environment(name)[f"{PREFIX}HOST"] == "0.0.0.0"  # noqa: S104


def test_prometheus_has_the_configuration_and_the_rules_of_everywhere_else() -> None:
    mounts = dict(volume.split(":")[:2] for volume in service("prometheus")["volumes"])
    for name in ("prometheus.yml", "bakvakt.rules.yml"):
        assert mounts[f"../prometheus/{name}"] == f"/etc/prometheus/{name}"
    assert mounts["./targets.yml"] == "/etc/prometheus/targets.yml"
    for source in bind_mounts():
        assert (FOLDER / source).exists(), source


@each_service
def test_a_service_is_restarted_watched_and_has_the_time_to_leave(service: str) -> None:
    one = compose()["services"][service]
    assert one["restart"] == "unless-stopped"
    assert int(one["stop_grace_period"].removesuffix("s")) > LEAVES_WITHIN_S
    assert one["healthcheck"]["test"] == ["CMD", *final("HEALTHCHECK").list()[:-1], "/readyz"]
    assert one["command"] == [service]


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_can_write_nothing_and_become_nobody_else(name: str) -> None:
    one = service(name)
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in one
    assert "privileged" not in one


@each_service
def test_a_service_starts_after_what_it_cannot_do_without(service: str) -> None:
    needs = compose()["services"][service]["depends_on"]
    assert needs["topics"] == {"condition": "service_completed_successfully"}
    server = {"dispatch": "postgres", "timer": "redis"}.get(service)
    assert server is None or needs[server] == {"condition": "service_healthy"}
    assert compose()["services"]["topics"]["depends_on"]["kafka"] == {
        "condition": "service_healthy"
    }
    shared = host(service)
    # Whoever shares a network is cut off when that is made anew.
    assert shared == service or needs[shared]["restart"] is True


def test_kafka_and_redis_are_set_as_on_a_machine_of_ones_own() -> None:
    kafka: Mapping[str, object] = service("kafka")["environment"]
    for name, value in kafka_server.SETTINGS.items():
        assert str(kafka[f"KAFKA_{name.upper().replace('.', '_')}"]) == str(value), name
    command: list[str] = service("redis")["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {f"--{name}": value for name, value in redis_server.SETTINGS.items()}


def test_data_outlives_the_containers_and_logs_do_not_fill_the_disk() -> None:
    everything = compose()
    for name in ("kafka", "redis", "postgres", "prometheus"):
        volumes = everything["services"][name]["volumes"]
        assert name in {volume.partition(":")[0] for volume in volumes}
        assert name in everything["volumes"]
    for one in everything["services"].values():
        assert one["logging"] == {"driver": "local"}
