"""How a page leaves: signed, to a webhook; or, where none is set, as the line in the log alone."""

import base64
import binascii
import hashlib
import hmac
from typing import NamedTuple, Protocol

import aiohttp

TIMEOUT_S = 5.0
# The prefix by which Standard Webhooks marks a secret that is written in base64.
BASE64_PREFIX = "whsec_"


class DuePage(NamedTuple):
    """A page that is to be delivered now, for the `attempts`-th time."""

    message_id: str
    grade: str
    body: str
    attempts: int
    caused_ms: int


class DeliveryError(Exception):
    """The receiver did not take the page; the text says why."""


class Delivery(Protocol):
    """Where pages are delivered to."""

    at_once: int
    """How many may be under way at the same time for one partition."""

    kept_for_urgent: int
    """How many of these are for pages of grades A and B alone."""

    async def deliver(self, page: DuePage, now_ms: int) -> None:
        """Return once the page is taken; raises DeliveryError otherwise."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class LogOnly:
    """No receiver: the log line that each page makes is all there is."""

    at_once = 500
    kept_for_urgent = 0

    async def deliver(self, page: DuePage, now_ms: int) -> None:
        return

    async def close(self) -> None:
        return


class Webhook:
    """POSTs pages to one URL, signed by the Standard Webhooks convention."""

    at_once = 8
    kept_for_urgent = 2

    def __init__(self, url: str, key: bytes) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._url = url
        self._key = key

    async def deliver(self, page: DuePage, now_ms: int) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession()  # belongs to the running loop
        body = page.body.encode()
        timestamp_s = now_ms // 1000
        headers = {
            "content-type": "application/json",
            "webhook-id": page.message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(self._key, page.message_id, timestamp_s, body),
        }
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=headers,
                # A page must not follow where a stranger points it.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as response:
                status = response.status
        except TimeoutError as error:
            raise DeliveryError(f"no answer within {TIMEOUT_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryError(repr(error)) from error
        if not 200 <= status < 300:
            raise DeliveryError(f"answered {status}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def sign(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of the header `webhook-signature` (Standard Webhooks)."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def signing_key(secret: str) -> bytes:
    """`whsec_` and base64 as the convention writes it; any other text is its own bytes.

    Raises ValueError where what follows `whsec_` is not base64.
    """
    if not secret.startswith(BASE64_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(BASE64_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows {BASE64_PREFIX} is not base64") from error
