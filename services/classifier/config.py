"""Settings of the classifier."""

from typing import Annotated

import msgspec

from shared.config import Settings


class ClassifierSettings(Settings, frozen=True, kw_only=True):
    """`shared.config.Settings`, and what only the classifier needs."""

    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="port of HTTP; 0 picks a free one")
    ] = 8082
