"""The webhook receiver of `up`: takes pages with a good signature, keeps them, shows them."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from deploy.local.receiver import Pages, ReceivedPage, application
from deploy.local.signature import signing_key

SECRET = "a secret of the tests"
BODY = json.dumps({"grade": "A", "title": "<b>Fire</b> & smoke", "site_id": "site-1"}).encode()

Client = TestClient[Request, Application]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(Pages(tmp_path / "pages"), SECRET))) as client:
        yield client


def headers(
    body: bytes, *, message_id: str = "m1", timestamp_s: int | None = None, key: bytes | None = None
) -> dict[str, str]:
    """Signed here by the words of the convention, not by the code under test."""
    timestamp = str(int(time.time()) if timestamp_s is None else timestamp_s)
    signed = message_id.encode() + b"." + timestamp.encode() + b"." + body
    digest = hmac.new(SECRET.encode() if key is None else key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


async def test_a_signed_page_is_kept_and_shown(client: Client, tmp_path: Path) -> None:
    answer = await client.post("/pages", data=BODY, headers=headers(BODY))
    assert answer.status == 204
    (line,) = (tmp_path / "pages").read_text().splitlines()
    kept = json.loads(line)
    assert kept["message_id"] == "m1"
    assert kept["page"] == json.loads(BODY)
    assert kept["received_at"].endswith("Z")
    shown = await (await client.get("/")).text()
    assert "&lt;b&gt;Fire&lt;/b&gt; &amp; smoke" in shown
    assert "<b>Fire" not in shown


async def test_a_page_that_comes_again_is_shown_once_with_a_count(
    client: Client, tmp_path: Path
) -> None:
    for message_id in ("m1", "m2", "m1"):
        signed = headers(BODY, message_id=message_id)
        assert (await client.post("/pages", data=BODY, headers=signed)).status == 204
    shown = await (await client.get("/pages")).json()
    assert [(page["message_id"], page["count"]) for page in shown] == [("m2", 1), ("m1", 2)]
    assert len((tmp_path / "pages").read_text().splitlines()) == 3


async def test_pages_outlive_the_receiver_even_if_it_was_killed_while_writing(
    client: Client, tmp_path: Path
) -> None:
    await client.post("/pages", data=BODY, headers=headers(BODY))
    with (tmp_path / "pages").open("a") as lines:
        lines.write('{"received_at": "2026-')
    (page,) = Pages(tmp_path / "pages").newest_first()
    assert page.message_id == "m1"
    Pages(tmp_path / "pages").add(ReceivedPage(received_at="now", message_id="m2", page={}))
    again = Pages(tmp_path / "pages").newest_first()
    assert [page.message_id for page in again] == ["m2", "m1"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: {"webhook-signature": "v1," + base64.b64encode(b"x" * 32).decode()}, "not fit"),
        (lambda: {"webhook-signature": "v1a,é"}, "does not fit"),
        (lambda: {"webhook-id": "m2"}, "does not fit"),
        (lambda: {"webhook-id": ""}, "must all be there"),
        (lambda: {"webhook-timestamp": "soon"}, "whole number"),
        (lambda: {"webhook-timestamp": "1" * 5000}, "whole number"),
        # Made when the test runs: the whole run may take longer than the tolerance.
        (lambda: headers(BODY, timestamp_s=int(time.time()) - 301), "more than 300 s"),
        (lambda: headers(BODY, timestamp_s=int(time.time()) + 400), "more than 300 s"),
        (lambda: headers(BODY, key=b"another"), "does not fit"),
    ],
)
async def test_a_page_without_a_good_signature_is_refused(
    client: Client, tmp_path: Path, change: Callable[[], dict[str, str]], reason: str
) -> None:
    answer = await client.post("/pages", data=BODY, headers=headers(BODY) | change())
    assert answer.status == 401
    assert reason in await answer.text()
    assert not (tmp_path / "pages").exists()


@pytest.mark.parametrize(("message_id", "signature"), [(b"m\xff", b"v1,eA"), (b"m1", b"v1,\xff")])
async def test_headers_that_are_no_text_are_refused(
    client: Client, message_id: bytes, signature: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(
        b"POST /pages HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 2\r\n"
        b"webhook-id: %b\r\nwebhook-timestamp: %d\r\nwebhook-signature: %b\r\n\r\n{}"
        % (message_id, time.time(), signature)
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_one_good_signature_among_several_is_enough(client: Client) -> None:
    signed = headers(BODY)
    signed["webhook-signature"] = f"v1,b2xk {signed['webhook-signature']}"
    assert (await client.post("/pages", data=BODY, headers=signed)).status == 204


async def test_a_body_that_is_not_json_is_refused(client: Client) -> None:
    answer = await client.post("/pages", data=b"no", headers=headers(b"no"))
    assert answer.status == 400


def test_a_secret_as_the_convention_writes_it_is_base64() -> None:
    assert signing_key("whsec_" + base64.b64encode(b"key").decode()) == b"key"
    assert signing_key("plain") == b"plain"
    with pytest.raises(ValueError, match="base64"):
        signing_key("whsec_*")
