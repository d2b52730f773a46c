import asyncio
import json

import pytest
from fakes import FakeRuntime
from starlette.routing import WebSocketRoute

from server.api.access import Access, is_open
from server.api.application import build
from server.api.deps import Intake
from server.api.openapi import document
from server.api.tickets import Tickets
from server.storage.uploads import Uploads

KEY = "a-key-that-is-long-enough"
OPEN = {
    "/livez",
    "/readyz",
    "/health/live",
    "/health/ready",
    "/v2/health/live",
    "/v2/health/ready",
    "/",
    "/favicon.ico",
    "/docs",
    "/docs/{name}",
    "/openapi.json",
}


class Inside:
    """What lies behind the door; it says what came through."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})


class Answer:
    """Messages as what they say."""

    def __init__(self, messages):
        self.messages = messages
        self.status = messages[0].get("status")
        self.headers = dict(messages[0].get("headers", []))
        self.body = b"".join(message.get("body", b"") for message in messages)

    @property
    def code(self):
        return json.loads(self.body)["code"]


def call(app, path, *, method="GET", query="", kind="http", **headers):
    """Ask an ASGI application; `sec_fetch_site` is a header."""
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}},
    }
    messages = []

    async def send(message):
        messages.append(message)

    async def receive():
        return {"type": "websocket.connect" if kind == "websocket" else "http.request"}

    asyncio.run(app(scope, receive, send))
    return Answer(messages)


def bearer(key=KEY):
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def tickets():
    return Tickets()


@pytest.fixture
def inside():
    return Inside()


@pytest.fixture
def door(inside, tickets):
    return Access(inside, key=KEY, tickets=tickets, pause_s=0)


def test_the_key_opens_every_door(door):
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        assert call(door, "/v1/jobs", method=method, **bearer()).status == 200
    assert call(door, "/v1/jobs", authorization=f"bearer  {KEY} ").status == 200


def test_without_a_key_nothing_comes_through(door, inside):
    answer = call(door, "/v1/jobs")
    assert (answer.status, answer.code) == (401, "key_missing")
    assert answer.headers[b"www-authenticate"] == b'Bearer realm="vidserve"'
    assert answer.headers[b"content-type"] == b"application/problem+json"
    assert "VIDSERVE_ADMIN_KEY" in json.loads(answer.body)["hint"]
    assert inside.scopes == []


@pytest.mark.parametrize("shown", [KEY[:-1], KEY + "x", KEY.upper(), "", "ü" * 20])
def test_a_wrong_key_is_told_and_challenged(door, inside, shown):
    answer = call(door, "/v1/jobs", **bearer(shown))
    assert (answer.status, answer.code) == (401, "key_wrong")
    assert b'error="invalid_token"' in answer.headers[b"www-authenticate"]
    assert inside.scopes == []


def test_a_password_that_a_proxy_asked_for_is_no_key(door, tickets):
    assert call(door, "/v1/jobs", authorization="Basic dXNlcjpwYXNz").code == "key_missing"
    ticket = tickets.issue("/v1", 60).text
    assert call(door, "/v1/jobs", query=f"ticket={ticket}", authorization="Basic dXNlcjpwYXNz").status == 200


def test_a_ticket_reads_and_does_nothing_else(door, tickets):
    query = f"ticket={tickets.issue('/v1/streams', 60).text}"
    for method in ("GET", "HEAD"):
        assert call(door, "/v1/streams/a/preview.mjpg", method=method, query=query).status == 200
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert call(door, "/v1/streams/a", method=method, query=query).code == "key_missing"
    assert call(door, "/v1/jobs", query=query).code == "ticket_invalid"


def test_a_ticket_that_is_over_is_told_as_such(inside):
    now = [1000.0]
    tickets = Tickets(lambda: now[0])
    door = Access(inside, key=KEY, tickets=tickets, pause_s=0)
    query = f"ticket={tickets.issue('/v1', 5).text}"
    assert call(door, "/v1/jobs", query=query).status == 200
    now[0] += 6
    answer = call(door, "/v1/jobs", query=query)
    assert (answer.status, answer.code) == (401, "ticket_expired")
    assert "POST /v1/tickets" in json.loads(answer.body)["hint"]


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize(
    ("before", "after"), [("limit=5&", "&cursor=a%20b"), ("", ""), ("", "&limit=5"), ("%74icket=x&", "")]
)
def test_nobody_behind_the_door_sees_a_ticket(inside, tickets, key, before, after):
    door = Access(inside, key=key, tickets=tickets, pause_s=0)
    ticket = tickets.issue("/v1", 60).text
    assert call(door, "/v1/jobs", query=f"{before}ticket={ticket}{after}").status == 200
    seen = inside.scopes[0]["query_string"].decode()
    assert "icket" not in seen
    assert seen == "&".join(part for part in (before.strip("&"), after.strip("&")) if part and "icket" not in part)


def test_the_ticket_of_a_refused_call_is_taken_out_too(door):
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/jobs",
        "query_string": b"ticket=abc",
        "headers": [],
    }

    async def send(message): ...

    asyncio.run(door(scope, None, send))
    assert scope["query_string"] == b""


def test_a_web_socket_wants_the_key_or_a_ticket(door, inside, tickets):
    refused = call(door, "/v1/ws", kind="websocket")
    assert refused.messages[0]["type"] == "websocket.http.response.start"
    assert (refused.status, refused.code) == (401, "key_missing")
    assert inside.scopes == []
    for how in ({"query": f"ticket={tickets.issue('/v1/ws', 60).text}"}, bearer()):
        assert call(door, "/v1/ws", kind="websocket", **how).messages == [{"type": "websocket.accept"}]


def test_a_server_without_a_key_lets_everybody_in_but_not_pages_of_other_sites(inside, tickets):
    door = Access(inside, key=None, tickets=tickets)
    assert call(door, "/v1/jobs", method="POST").status == 200
    assert call(door, "/v1/jobs", method="POST", sec_fetch_site="same-origin").status == 200
    assert call(door, "/docs", sec_fetch_site="cross-site").status == 200
    answer = call(door, "/v1/jobs", method="POST", sec_fetch_site="cross-site")
    assert (answer.status, answer.code) == (403, "cross_site")
    assert call(door, "/v1/ws", kind="websocket", sec_fetch_site="cross-site").status == 403


HERE = "127.0.0.1:8000"


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:8000",
        "http://127.0.0.1:8001",
        "http://127.0.0.1",
        "https://evil.example",
        "null",
        "",
        "file://",
    ],
)
def test_without_a_key_a_page_of_another_origin_opens_no_web_socket_and_changes_nothing(inside, tickets, origin):
    door = Access(inside, key=None, tickets=tickets)
    for how in ({"kind": "websocket"}, {"method": "POST"}, {"method": "DELETE"}, {"method": "OPTIONS"}):
        answer = call(door, "/v1/ws", host=HERE, origin=origin, **how)
        assert (answer.status, answer.code) == (403, "cross_site")
    assert "VIDSERVE_ADMIN_KEY" in json.loads(answer.body)["hint"]
    assert inside.scopes == []
    assert call(door, "/v1/jobs", host=HERE, origin=origin).status == 200


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "https://127.0.0.1:8000"])
def test_without_a_key_the_servers_own_pages_and_programs_come_in(inside, tickets, origin):
    door = Access(inside, key=None, tickets=tickets)
    for headers in ({"host": HERE, "origin": origin}, {"host": HERE}, {}):
        assert call(door, "/v1/jobs", method="POST", **headers).status == 200
        assert call(door, "/v1/ws", kind="websocket", **headers).messages == [{"type": "websocket.accept"}]


def test_with_a_key_it_does_not_matter_where_a_page_is_from_and_what_the_server_is_called(door):
    headers = {"host": "cameras.example", "origin": "https://elsewhere.example", **bearer()}
    assert call(door, "/v1/jobs", method="POST", **headers).status == 200
    assert call(door, "/v1/ws", kind="websocket", **headers).messages == [{"type": "websocket.accept"}]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8000", "cams.localhost:8000", "127.0.0.1:8000", "127.8.8.8", "[::1]:8000", "[::1]", ""],
)
def test_without_a_key_a_server_answers_by_the_names_of_its_machine(inside, tickets, host):
    door = Access(inside, key=None, tickets=tickets)
    assert call(door, "/v1/jobs", host=host).status == 200
    assert call(door, "/v1/ws", kind="websocket", host=host).messages == [{"type": "websocket.accept"}]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.7",
        "0.0.0.0:8000",
        "[::1]x",
        "a:b",
    ],
)
def test_without_a_key_a_name_that_may_have_been_led_here_reads_nothing_but_what_is_open(inside, tickets, host):
    door = Access(inside, key=None, tickets=tickets)
    for how in ({}, {"method": "POST"}, {"kind": "websocket"}):
        answer = call(door, "/v1/jobs", host=host, **how)
        assert (answer.status, answer.code) == (403, "host_refused")
    said = json.loads(answer.body)
    assert host in said["detail"]
    assert "VIDSERVE_ADMIN_KEY" in said["hint"]
    assert inside.scopes == []
    assert call(door, "/health/ready", host=host).status == 200


def app_with_a_key(folder, key):
    return build(Intake(Uploads(folder), 1024, 1024), lambda _: None, key=key)


def routes_of(routes):
    """All that an application answers, whatever it was put together from."""
    for route in routes:
        inner = getattr(route, "original_router", route)
        if hasattr(inner, "routes"):
            yield from routes_of(inner.routes)
        else:
            yield route


def test_every_route_but_the_open_ones_wants_the_key(tmp_path):
    app = app_with_a_key(tmp_path, KEY)
    app.state.runtime = FakeRuntime()
    found = set()
    for route in routes_of(app.routes):
        found.add(route.path)
        path = route.path.replace("{", "").replace("}", "")
        if route.path in OPEN:
            assert is_open(path), path
        elif isinstance(route, WebSocketRoute):
            assert call(app, path, kind="websocket").status == 401, path
        else:
            for method in (*route.methods, "OPTIONS"):
                assert call(app, path, method=method).status == 401, (method, path)
    assert found >= {"/v1/jobs", "/v1/models/{name}/predict", "/v1/tickets", "/metrics", "/livez", "/docs/{name}"}
    assert call(app, "/nowhere").status == 401


@pytest.mark.parametrize(
    "path", ["/health", "/health/live/", "/health/live/x", "/docs/a/b", "/docs2", "//livez", "/livez\n", "/v2/health"]
)
def test_what_only_looks_open_is_closed(path):
    assert not is_open(path)


def test_the_document_says_what_each_call_wants(tmp_path):
    said = document(app_with_a_key(tmp_path, KEY))
    assert said["components"]["securitySchemes"]["key"] == {
        "type": "http",
        "scheme": "bearer",
        "description": "The administrator's key.",
    }
    assert said["paths"]["/v1/jobs"]["post"]["security"] == [{"key": []}]
    assert said["paths"]["/v1/jobs"]["get"]["security"] == [{"key": []}, {"ticket": []}]
    assert "401" in said["paths"]["/metrics"]["get"]["responses"]
    assert "security" not in said["paths"]["/health/live"]["get"]
    for path, form in (("/v1/jobs", "application/problem+json"), ("/v2/repository/index", "application/json")):
        assert list(said["paths"][path]["post"]["responses"]["401"]["content"]) == [form]


def test_the_document_of_a_server_that_wants_no_key_speaks_of_none(tmp_path):
    said = document(app_with_a_key(tmp_path, None))
    assert "securitySchemes" not in said["components"]
    assert "401" not in said["paths"]["/v1/jobs"]["post"]["responses"]
    assert "403" in said["paths"]["/v1/jobs"]["get"]["responses"]
    assert "403" not in said["paths"]["/health/live"]["get"]["responses"]
