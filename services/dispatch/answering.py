"""How the routes answer: documents as JSON, and errors with what is wrong and what to do."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from services.dispatch.actions import NotAllowed
from services.dispatch.database import DatabaseError
from services.dispatch.orders import NoSuchCase
from services.dispatch.requests import BadRequest
from shared.documents.answers import Refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class NotThere(Exception):
    """There is no such thing; says what."""


def answering(handler: Handler) -> Handler:
    """The errors of a handler as answers in JSON: what is wrong, and what to do."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadRequest as error:
            return _refuse(400, "bad_request", str(error))
        except NoSuchCase as error:
            return _refuse(404, "not_found", f"there is no case {error}; see GET /v1/cases")
        except NotThere as error:
            return _refuse(404, "not_found", str(error))
        except NotAllowed as error:
            return _refuse(409, error.reason, str(error))
        except DatabaseError as error:
            # It may have been away only when it was to say that it has committed.
            is_order = request.method == "POST"
            doubt = (
                "; it is not known whether it was done, doing it again is safe" if is_order else ""
            )
            return _refuse(
                503,
                "unavailable",
                f"the database does not answer{doubt}; try again ({error})",
            )

    return answer


def json_answer(content: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, content_type="application/json"
    )


def _refuse(status: int, word: str, detail: str) -> web.Response:
    return json_answer(Refusal(word, detail), status)
