"""A job's video from a URL: http(s) only, and never from an address inside the network unless the settings allow it;
from link-local ones and those of a cloud's metadata not even then.

A name is resolved once, every address it has is checked, and the connection goes to a checked address by number, so
that a name that changes its answer between check and use gains nothing. Redirects are followed here, one by one, with
the same checks. Proxies of the environment are not used: the proxy would resolve the name again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import unquote

import httpx

from server.core.addresses import LOOPBACK, PRIVATE, AddressPolicy
from server.core.authority import ESCAPE, UNCLEAR, is_unclear
from server.core.errors import FetchFailed, FetchTimeout, UrlRefused
from server.core.web_urls import web_url
from server.storage.uploads import Upload, Uploads, UploadWriter

Resolve = Callable[[str, int], Awaitable[list[str]]]

_MAX_REDIRECTS = 5
_CONNECT_S = 10.0
_CHUNK = 1024 * 1024
_REASON_CHARS = 200
_ALLOW = "Upload the file instead, or set `[jobs] allow_private_urls = true` if the address is meant."
_NEVER = "Upload the file instead. No setting allows it: such addresses are services of a machine or its cloud."


def shown(url: str) -> str:
    """The URL without credentials, query and fragment: what a job says of its source."""
    parsed = _parse(url)
    return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse at once what needs no name resolution to be refused.

    Raises:
        UrlRefused: not http(s), no host, no port that there is, or a host that is itself an address that may not be.
    """
    host = _parse(url).host
    name = host.rstrip(".")
    with contextlib.suppress(ValueError):  # any other name is resolved first
        _check_address(host, "127.0.0.1" if name == "localhost" or name.endswith(".localhost") else host, allow_private)


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system gives them.

    Raises:
        OSError: the name is not known.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def fetch(
    url: str,
    uploads: Uploads,
    *,
    limit: int,
    timeout_s: float,
    allow_private: bool,
    resolve: Resolve = system_resolve,
) -> Upload:
    """Fetch a file into the folder of uploads.

    Args:
        url: http or https; a user and a password in it are sent as HTTP Basic.
        uploads: where it goes.
        limit: bytes it may have at most.
        timeout_s: for everything, from name resolution to the last byte.
        allow_private: whether addresses inside the network, and of this machine, may be fetched from.
        resolve: host and port → addresses.

    Raises:
        UrlRefused: the URL, or one it redirects to, must not be fetched.
        FetchFailed: the other server cannot be reached, or does not answer with a file.
        FetchTimeout: it took longer than `timeout_s`.
        UploadTooLarge: the file is larger than `limit`.
        StorageFull: no space is left.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _fetch(url, uploads, limit=limit, allow_private=allow_private, resolve=resolve)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise FetchTimeout(
            f"{shown(url)} did not arrive within {timeout_s:g} s.",
            hint="Upload the file instead, or raise `[jobs] fetch_timeout_s`.",
        ) from error


async def _fetch(url: str, uploads: Uploads, *, limit: int, allow_private: bool, resolve: Resolve) -> Upload:
    timeout = httpx.Timeout(None, connect=_CONNECT_S)
    trust = await asyncio.to_thread(_trust)
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=timeout, verify=trust) as client:
        for _ in range(_MAX_REDIRECTS + 1):
            check_url(url, allow_private=allow_private)
            async with _answer(client, httpx.URL(url), allow_private, resolve) as response:
                target = response.headers.get("location") if response.is_redirect else None
                if target is None:
                    return await _save(response, url, uploads, limit)
            url = _follow(url, target)
    raise FetchFailed(f"{shown(url)} was reached over more than {_MAX_REDIRECTS} redirects.", hint=None)


@contextlib.asynccontextmanager
async def _answer(
    client: httpx.AsyncClient, url: httpx.URL, allow_private: bool, resolve: Resolve
) -> AsyncIterator[httpx.Response]:
    for address in await _addresses(url, allow_private, resolve):
        request = client.build_request(
            "GET",
            url.copy_with(host=address, fragment=None),
            # Compressed answers are not asked for: a small one may unfold into a huge one.
            headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": url.host},
        )
        try:
            response = await client.send(request, stream=True)
        except httpx.ConnectError as error:
            failure: httpx.HTTPError = error
            continue
        except httpx.TimeoutException:
            raise
        except httpx.HTTPError as error:
            failure = error
            break
        except UnicodeError as error:
            raise _leads_nowhere(str(url)) from error
        try:
            yield response
        finally:
            await response.aclose()
        return
    raise FetchFailed(
        # What a library says of an answer may hold all of it.
        f"{shown(str(url))} cannot be reached: {str(failure)[:_REASON_CHARS].rstrip('.') or type(failure).__name__}.",
        hint="Check that this server can reach the address.",
    ) from failure


async def _addresses(url: httpx.URL, allow_private: bool, resolve: Resolve) -> list[str]:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        addresses = await resolve(url.host, port)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"The host {url.host!r} is not known.", hint="Check the spelling of the URL.") from error
    if not addresses:
        raise FetchFailed(f"The host {url.host!r} has no address.", hint="Check the spelling of the URL.")
    for address in addresses:
        _check_address(url.host, address, allow_private)
    return addresses


async def _save(response: httpx.Response, url: str, uploads: Uploads, limit: int) -> Upload:
    if response.status_code != 200:
        # Not the phrase that was sent: that can be anything, of any length.
        phrase = httpx.codes.get_reason_phrase(response.status_code)
        raise FetchFailed(
            f"{shown(url)} answered {f'{response.status_code} {phrase}'.rstrip()}.",
            hint="Open the URL elsewhere and check that it gives the video itself.",
        )
    if response.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise FetchFailed(f"{shown(url)} answers with compressed content only.", hint="Upload the file instead.")
    length = response.headers.get("content-length", "")
    writer = await asyncio.to_thread(uploads.open, limit=limit, expected=int(length) if length.isdecimal() else None)
    try:
        await _copy(response, writer)
        return await asyncio.to_thread(writer.finish, _name(url))
    except httpx.TimeoutException:
        writer.abort()
        raise
    except httpx.HTTPError as error:
        writer.abort()
        raise FetchFailed(
            f"The connection to {shown(url)} broke off after {writer.size} bytes.", hint="Try again."
        ) from error
    except BaseException:
        writer.abort()
        raise


def _trust() -> ssl.SSLContext:
    """Whom to believe over https: the system's authorities (a company's own among them), and those that httpx brings
    for containers that have none.
    """
    trust = httpx.create_ssl_context(trust_env=False)
    trust.load_default_certs()
    return trust


async def _copy(response: httpx.Response, writer: UploadWriter) -> None:
    async for data in response.aiter_raw(_CHUNK):
        await asyncio.to_thread(writer.write, data)


def _follow(url: str, target: str) -> str:
    try:
        joined = httpx.URL(url).join(target)
    except httpx.InvalidURL as error:
        raise _leads_nowhere(url) from error
    return str(joined)


def _leads_nowhere(url: str) -> FetchFailed:
    return FetchFailed(f"{shown(url)} redirects to something that is no URL.")


def _name(url: str) -> str:
    return unquote(httpx.URL(url).path.rpartition("/")[2]) or httpx.URL(url).host


def _parse(url: str) -> httpx.URL:
    if is_unclear(url):
        raise UrlRefused(UNCLEAR, hint=ESCAPE)
    try:
        parsed = web_url(url)
    except ValueError as error:
        raise UrlRefused(f"The URL cannot be read: {error}.", hint="Write http://HOST/PATH.") from None
    if parsed.scheme not in ("http", "https"):
        raise UrlRefused(
            f"Only http and https URLs are fetched, not {parsed.scheme or 'one without a scheme'!r}.",
            hint="Write http://HOST/PATH, or upload the file.",
        )
    if not parsed.host:
        raise UrlRefused("The URL names no host.", hint="Write http://HOST/PATH.")
    return parsed


def _check_address(host: str, address: str, allow_private: bool) -> None:
    """See that an address of a host may be fetched from.

    Raises:
        UrlRefused: it may not.
        ValueError: it is no address.
    """
    reason = AddressPolicy(private=allow_private, loopback=allow_private).refusal(address)
    if reason is None:
        return
    try:
        what = f"The address {ip_address(host)} is {reason}"
    except ValueError:
        what = f"The host {host!r} has an address that is {reason}"
    raise UrlRefused(f"{what}, and is not fetched from.", hint=_ALLOW if reason in (LOOPBACK, PRIVATE) else _NEVER)
