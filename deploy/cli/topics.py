"""`topics`: make the topics, and check that they are what the services rely on."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Annotated, TypeVar

import typer
from aiokafka.errors import KafkaError

from deploy.cli.local_kafka import with_local_kafka
from services.ingest.config import IngestSettings
from shared.config import Settings, load
from shared.errors import ConfigError
from shared.kafka.topics import apply_topics, check_topics

ResultT = TypeVar("ResultT")

topics = typer.Typer(
    help="Make the topics, or check them. Settings: BAKVAKT_* in the environment. Kafka: "
    "BAKVAKT_KAFKA, else that of the `up` that runs here.",
    no_args_is_help=True,
)


@topics.command()
def apply(
    inputs: Annotated[
        bool, typer.Option("--inputs", help="Also the input topics: to try out, on your own Kafka.")
    ] = False,
) -> None:
    """Make the topics that are missing, with their partitions, copies and retention.

    Example: `BAKVAKT_PARTITIONS=8 BAKVAKT_REPLICATION=1 bakvakt topics apply --inputs`
    """
    settings = _settings()
    made = _run(
        settings,
        apply_topics(
            settings.kafka,
            settings.prefix,
            partitions=settings.partitions,
            replication=settings.replication,
            inputs=settings.input_topics if inputs else (),
        ),
    )
    typer.echo(f"made: {', '.join(made)}" if made else "All topics were there.")
    if settings.replication == 1:
        typer.echo("One copy of each record: a lost disk loses them. To try out, not for a fleet.")


@topics.command()
def check() -> None:
    """Say what is wrong with the topics; exit status 1 if anything is.

    Example: `bakvakt topics check`
    """
    settings = _settings()
    _run(
        settings,
        check_topics(
            settings.kafka,
            settings.prefix,
            partitions=settings.partitions,
            replication=settings.replication,
        ),
    )
    typer.echo("All topics are as they must be.")


def _settings() -> IngestSettings:
    try:
        return load(IngestSettings, with_local_kafka(os.environ), "ingest")
    except ConfigError as error:
        raise _failure(error.problems) from None


def _run(settings: Settings, work: Coroutine[None, None, ResultT]) -> ResultT:
    try:
        return asyncio.run(work)
    except ConfigError as error:
        raise _failure(error.problems) from None
    except KafkaError as error:
        raise _failure([f"Kafka at {settings.kafka}: {error!r}"]) from None


def _failure(problems: list[str]) -> typer.Exit:
    for problem in problems:
        typer.echo(problem, err=True)
    return typer.Exit(1)
