"""Settings, policy and roster of dispatch: all their errors at once, no secret in any of them."""

from pathlib import Path

import pytest

from services.dispatch.config import load_configuration
from services.dispatch.roster import load_roster
from shared.errors import ConfigError

POSTGRES = {"BAKVAKT_POSTGRES": "postgresql://bakvakt:hunter2@db.example:5432/bakvakt"}


def test_only_the_database_has_no_default() -> None:
    configuration = load_configuration(POSTGRES)
    assert configuration.settings.port == 8080
    assert configuration.settings.webhook_url is None
    assert configuration.postgres.drivername == "postgresql+psycopg"
    assert [person.name for person in configuration.rules.roster.levels("default")] == [
        "Engineer on call",
        "Second engineer",
        "Lead of the desk",
    ]


def test_password_and_secret_are_never_shown() -> None:
    environ = {
        **POSTGRES,
        "BAKVAKT_WEBHOOK_URL": "https://pages.example/",
        "BAKVAKT_WEBHOOK_SECRET": "correct horse battery",
    }
    shown = repr(load_configuration(environ).settings)
    assert "hunter2" not in shown
    assert "correct horse" not in shown


def test_problems_of_settings_policy_and_roster_are_told_together(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[grade.A]\nprocessing_s = 901\n")
    environ = {
        "BAKVAKT_POSTGRES": "mysql://root:hunter2@db.example/x",
        "BAKVAKT_WEBHOOK_URL": "https://pages.example/",
        "BAKVAKT_POLICY": str(policy),
        "BAKVAKT_ROSTER": str(tmp_path / "nowhere.toml"),
    }
    with pytest.raises(ConfigError) as raised:
        load_configuration(environ)
    text = "\n".join(raised.value.problems)
    for part in ("BAKVAKT_POSTGRES", "BAKVAKT_WEBHOOK_SECRET", "grade.A.processing_s", "nowhere"):
        assert part in text
    assert "hunter2" not in text


def test_files_are_checked_although_a_setting_is_wrong(tmp_path: Path) -> None:
    environ = {"BAKVAKT_PORT": "no number", "BAKVAKT_ROSTER": str(tmp_path / "nowhere.toml")}
    with pytest.raises(ConfigError) as raised:
        load_configuration(environ)
    text = "\n".join(raised.value.problems)
    for part in ("BAKVAKT_PORT", "BAKVAKT_POSTGRES", "nowhere"):
        assert part in text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bakvakt:hunter2@db.example/bakvakt?sslmod=require",
        "postgresql://bakvakt@db.example/bakvakt?hunter2=1",
        "postgresql://bakvakt:p@ss?hunter2=1@db.example/bakvakt",
    ],
)
def test_option_that_postgres_does_not_know_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"BAKVAKT_POSTGRES: .* no option") as raised:
        load_configuration({"BAKVAKT_POSTGRES": url})
    assert "hunter2" not in str(raised.value)


def test_options_of_postgres_are_taken() -> None:
    url = "postgresql:///bakvakt?host=/run/postgresql&sslmode=disable"
    assert load_configuration({"BAKVAKT_POSTGRES": url}).postgres.query["sslmode"] == "disable"


def test_secret_in_base64_must_be_base64() -> None:
    with pytest.raises(ConfigError, match="WEBHOOK_SECRET"):
        load_configuration({**POSTGRES, "BAKVAKT_WEBHOOK_SECRET": "whsec_*"})


@pytest.mark.parametrize("secret", ["x" * 15, "whsec_" + "eHh4" * 5])
def test_short_key_is_a_wrong_setting(secret: str) -> None:
    with pytest.raises(ConfigError, match="of 15 bytes") as raised:
        load_configuration({**POSTGRES, "BAKVAKT_WEBHOOK_SECRET": secret})
    assert secret not in str(raised.value)


def test_desk_that_the_roster_does_not_name_is_served_by_the_default_one(tmp_path: Path) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(
        """
        [[desk.default.level]]
        name = "Ada"
        [[desk.north.level]]
        name = "Bo"
        [[desk.north.level]]
        name = "Cy"
        """
    )
    roster = load_roster(path)
    assert [person.name for person in roster.levels("north")] == ["Bo", "Cy"]
    assert [person.name for person in roster.levels("south")] == ["Ada"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ["desk:"]),
        ("desk = 1", ["desk:"]),
        ("[desk]\nnorth = 1", ["desk.north:", "desk.default:"]),
        ("[desk.default]\nlevel = []", ["desk.default:"]),
        ('[[desk.default.level]]\nname = ""\n[desks]', ["desk.default:", "desks:"]),
        ('[[desk.default.level]]\nname = "Ada"\nphone = "1"', ["desk.default:"]),
        ("not toml", ["cannot be read"]),
    ],
)
def test_wrong_roster_is_an_error_with_its_key(tmp_path: Path, text: str, keys: list[str]) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_roster(path)
    told = "\n".join(raised.value.problems)
    assert all(key in told for key in keys)
