"""Settings of the classifier."""

from typing import Annotated

import msgspec

from shared.catalogue.settings import CatalogueSettings


class ClassifierSettings(CatalogueSettings, frozen=True, kw_only=True):
    """`CatalogueSettings`, and what only the classifier needs."""

    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="port of HTTP; 0 picks a free one")
    ] = 8082
