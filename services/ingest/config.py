"""Settings of ingest."""

from typing import Annotated

import msgspec

from shared.catalogue.settings import CatalogueSettings


class IngestSettings(CatalogueSettings, frozen=True, kw_only=True):
    """`CatalogueSettings`, and what only ingest needs."""

    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="port of HTTP; 0 picks a free one")
    ] = 8081
    input_topics: Annotated[
        tuple[str, ...],
        msgspec.Meta(min_length=1, description="topics with reports, commas between"),
    ] = ("emu.alarms",)
    input_generation: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="raise it by one when an input topic is made anew (its offsets restart)",
        ),
    ] = 1
