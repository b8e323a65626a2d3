"""The classifier's settings and the rules that they name, all their errors told at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from services.classifier.rules import Rules, make_rules
from shared.catalogue.settings import CatalogueSettings, load_with_catalogue
from shared.config import PREFIX
from shared.errors import ConfigError
from shared.policy import load_policy


class ClassifierSettings(CatalogueSettings, frozen=True, kw_only=True):
    """`CatalogueSettings`, and what only the classifier needs."""

    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="port of HTTP; 0 picks a free one")
    ] = 8082
    policy: Annotated[
        str | None,
        msgspec.Meta(description="TOML file that changes the SLA policy; holds are read from it"),
    ] = None


def load_configuration(environ: Mapping[str, str]) -> tuple[ClassifierSettings, Rules]:
    """Settings, catalogue and policy; raises ConfigError with the problems of all three."""
    problems: list[str] = []
    loaded, policy = None, None
    try:
        loaded = load_with_catalogue(ClassifierSettings, environ, "classifier")
    except ConfigError as error:
        problems += error.problems
    name = loaded[0].policy if loaded else environ.get(f"{PREFIX}POLICY")
    try:
        policy = load_policy(Path(name) if name else None)
    except ConfigError as error:
        problems += error.problems
    if loaded is None or policy is None:
        raise ConfigError(problems)
    settings, catalogue = loaded
    return settings, make_rules(catalogue, policy)
