"""Settings: every error at once, and no secret in sight."""

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from shared.config import Secret, Settings, load
from shared.errors import ConfigError


class Example(Settings, frozen=True, kw_only=True):
    secret: Annotated[Secret, msgspec.Meta(description="what nobody may read")]
    topics: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, description="topics")] = ("a",)


def test_values_come_from_the_environment_then_the_file_then_the_default(tmp_path: Path) -> None:
    file = tmp_path / "bakvakt.toml"
    file.write_text('prefix = "from-file"\npartitions = 4\ntopics = ["x", "y"]\n')
    settings = load(
        Example,
        {"BAKVAKT_CONFIG": str(file), "BAKVAKT_PARTITIONS": "6", "BAKVAKT_SECRET": "s3cret"},
    )
    assert (settings.prefix, settings.partitions, settings.replication) == ("from-file", 6, 3)
    assert settings.topics == ("x", "y")
    assert settings.secret == "s3cret"


def test_every_problem_is_told_at_once_with_its_name_and_meaning() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Example, {"BAKVAKT_KAFKA": "nowhere", "BAKVAKT_PARTITIONS": "many"})
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 3
    for expected in ("BAKVAKT_KAFKA", "BAKVAKT_PARTITIONS", "BAKVAKT_SECRET", "nobody may read"):
        assert expected in text


def test_a_table_of_the_file_is_for_one_service(tmp_path: Path) -> None:
    file = tmp_path / "bakvakt.toml"
    file.write_text('prefix = "p"\nport = 1\n[one]\nprefix = "q"\n[two]\nprefx = "r"\n')
    environ = {"BAKVAKT_CONFIG": str(file), "BAKVAKT_SECRET": "x"}
    assert load(Example, environ, "one").prefix == "q"
    assert load(Example, environ, "three").prefix == "p"
    with pytest.raises(ConfigError, match=r"\[two\] has no setting prefx"):
        load(Example, environ, "two")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Example, {"BAKVAKT_CONFIG": str(tmp_path / "absent"), "BAKVAKT_SECRET": "x"})


def test_a_secret_does_not_show_itself() -> None:
    settings = load(Example, {"BAKVAKT_SECRET": "s3cret"})
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in f"{settings!r} {[settings.secret]}"


def test_lists_are_written_with_commas_in_the_environment() -> None:
    settings = load(Example, {"BAKVAKT_SECRET": "x", "BAKVAKT_TOPICS": "a, b,c"})
    assert settings.topics == ("a", "b", "c")
