"""Which Kafka commands mean: the one that is named, else that of the `up` that runs here."""

from collections.abc import Mapping

from deploy.local.state import DEFAULTS_OF_UP, StateDirectory
from shared.config import PREFIX

VARIABLE = f"{PREFIX}KAFKA"


def with_local_kafka(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with the Kafka of the `up` that runs here unless BAKVAKT_KAFKA is set.

    The port of that Kafka may be any: another program, or another `up`, may have the standard one. Where `up`
    has started it, its topics are made as `up` makes them where nothing is said.
    """
    if VARIABLE in environ:
        return dict(environ)
    state = StateDirectory.from_environment(environ).read()
    if state is None or not state.is_running() or not state.kafka:
        return dict(environ)
    defaults = DEFAULTS_OF_UP if state.has_own_kafka() else {}
    return {**defaults, **environ, VARIABLE: state.kafka}
