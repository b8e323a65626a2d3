"""Signatures of webhooks by the Standard Webhooks convention: what the receiver accepts."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE_S = 300
PREFIXED = "whsec_"


class Refused(Exception):
    """The signature does not hold; the message says why."""


def signing_key(secret: str) -> bytes:
    """`whsec_` and base64, as the convention writes a secret; any other text is its own bytes."""
    if not secret.startswith(PREFIXED):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIXED), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows {PREFIXED} in the secret is not base64") from error


def sign(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of the header `webhook-signature`."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def verify(key: bytes, headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """The id of the message; raises Refused unless its sender had the key, just now."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    # Bytes that are no text come as halves of characters, which cannot be encoded again.
    if not (message_id + signatures).isascii():
        raise Refused("webhook-id or webhook-signature does not fit: it holds more than ASCII")
    if not message_id or not timestamp or not signatures.split():
        raise Refused("webhook-id, webhook-timestamp and webhook-signature must all be there")
    # 12 digits are enough for 30,000 years, and Python refuses to read thousands of them.
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refused("webhook-timestamp is not a whole number of seconds")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise Refused(f"webhook-timestamp is more than {TOLERANCE_S} s from now")
    expected = sign(key, message_id, int(timestamp), body).encode()
    # While a secret is being changed there may be a signature by each of the two.
    if not any(hmac.compare_digest(expected, given.encode()) for given in signatures.split()):
        raise Refused("webhook-signature does not fit the body and our secret")
    return message_id
