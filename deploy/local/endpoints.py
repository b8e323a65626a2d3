"""What is asked of a running service over HTTP, and how its URL is shown."""

from urllib.parse import urlsplit

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=2)


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether /readyz answers 200; no answer is a no."""
    return await missing(session, url) == ()


async def missing(session: aiohttp.ClientSession, url: str) -> tuple[str, ...] | None:
    """What /readyz says is missing before all is ready; None: no answer."""
    try:
        async with session.get(f"{url}/readyz", timeout=TIMEOUT) as response:
            if response.status == 200:
                return ()
            said = await response.text(errors="replace")
            return tuple(said.splitlines()) or (f"/readyz answers {response.status}",)
    except (aiohttp.ClientError, TimeoutError):
        return None


async def metrics_text(session: aiohttp.ClientSession, url: str) -> str:
    """What /metrics says; nothing if it does not answer."""
    try:
        async with session.get(f"{url}/metrics", timeout=TIMEOUT) as response:
            return await response.text() if response.status == 200 else ""
    except (aiohttp.ClientError, TimeoutError):
        return ""


def without_password(url: str) -> str:
    """A server's URL, or host:port, fit to be shown and written down."""
    password = urlsplit(url).password if "://" in url else None
    return url if password is None else url.replace(f":{password}@", ":***@", 1)
