"""`explain`: the path of an alarm, from its report to the clocks of its case, as it is stored."""

import asyncio
import logging
import os
from typing import Annotated

import msgspec
import typer

from deploy.cli.dispatch_api import ApiError, DispatchApi, UrlOption, ask_dispatch, named_url
from deploy.cli.explanation import Explanation, tell
from deploy.cli.kafka_lookup import read_histories, read_reports
from deploy.cli.local_kafka import with_local_kafka
from deploy.cli.story import story
from deploy.cli.terminal import failure, print_out
from deploy.cli.wording import Reader, plain
from services.classifier.config import ClassifierSettings
from shared.catalogue import Catalogue
from shared.catalogue.settings import load_with_catalogue
from shared.documents.answers import CaseFile
from shared.documents.case import Case
from shared.documents.fault import Fault
from shared.errors import ConfigError
from shared.kafka.topics import Topics
from shared.times import now_ms


def explain(
    id_: Annotated[
        str,
        typer.Argument(
            metavar="FAULT_ID",
            help="A fault's id or a case's, or the first 4 letters of it or more.",
        ),
    ],
    url: UrlOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell the path of an alarm, from what is stored and nothing else.

    Its report in Kafka, the catalogue's row, grade and reason, what it is attached to or suppressed
    by, its revisions, its case with pages, clocks and log. Of a case, each of its faults.

    Kafka is that of the `up` that runs here, unless --url, BAKVAKT_URL or BAKVAKT_KAFKA names
    something else; BAKVAKT_PREFIX as the services have it.

    Examples:

    - `bakvakt explain f3f7a2bq`

    - `bakvakt explain c3f7a2bq --json | jq '.faults[0].report'`
    """
    # What aiokafka logs about an absent broker is told in the story.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        settings, catalogue = _load(url)
    except (ConfigError, ApiError) as error:
        raise failure(str(error)) from None

    async def read(api: DispatchApi) -> Explanation:
        faults, case = await _read_dispatch(api, id_)
        topic = Topics(settings.prefix).faults
        reports, histories = await asyncio.gather(
            read_reports(settings.kafka, faults),
            read_histories(settings.kafka, topic, faults[0].site_id, faults),
        )
        stories = [
            tell(fault, reports[fault.fault_id], histories[fault.fault_id], catalogue)
            for fault in faults
        ]
        return Explanation(faults=stories, case=case)

    found = ask_dispatch(url, read)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        print_out(story(found, Reader(now_ms())))


async def _read_dispatch(
    api: DispatchApi, text: str
) -> tuple[list[Fault], CaseFile[Case, Fault] | None]:
    """What dispatch has about a fault, or about a case with all its faults."""
    if text.startswith("c"):
        case = await api.case_file(await api.find_case(text))
        return case.faults, case
    if not text.startswith("f"):
        raise ApiError(f"{plain(text)!r} is no id of a fault (f...) or of a case (c...)")
    found = await api.fault_file(await api.find_fault(text))
    case = None if found.case_id is None else await api.case_file(found.case_id)
    return [found.fault], case


def _load(url: str | None) -> tuple[ClassifierSettings, Catalogue]:
    """Settings and catalogue, from where the classifier has them. Raises ConfigError, ApiError."""
    # The local Kafka knows nothing of a dispatch elsewhere.
    is_local = named_url(url, os.environ) is None
    environ = with_local_kafka(os.environ) if is_local else os.environ
    return load_with_catalogue(ClassifierSettings, environ, "classifier")
