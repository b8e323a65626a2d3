"""The setting that names an operator's catalogue files, for whoever needs the catalogue."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from shared.catalogue.catalogue import Catalogue
from shared.catalogue.files import load_catalogue
from shared.config import PREFIX, Settings, load
from shared.errors import ConfigError


class CatalogueSettings(Settings, frozen=True, kw_only=True):
    """`shared.config.Settings`, and where the operator's files are."""

    catalogue: Annotated[
        str | None,
        msgspec.Meta(
            description="folder with kinds.toml and vendors/*.toml of your own, over ours"
        ),
    ] = None


SettingsT = TypeVar("SettingsT", bound=CatalogueSettings)


def load_with_catalogue(
    kind: type[SettingsT], environ: Mapping[str, str], service: str | None = None
) -> tuple[SettingsT, Catalogue]:
    """Settings of `kind`, and the catalogue. Raises ConfigError with the problems of both."""
    problems: list[str] = []
    settings, catalogue = None, None
    try:
        settings = load(kind, environ, service)
    except ConfigError as error:
        problems += error.problems
    # Also where a setting is wrong, so that one start tells everything.
    folder = settings.catalogue if settings else environ.get(f"{PREFIX}CATALOGUE")
    try:
        catalogue = load_catalogue(Path(folder) if folder else None)
    except ConfigError as error:
        problems += error.problems
    if settings is None or catalogue is None:
        raise ConfigError(problems)
    return settings, catalogue
