import json
import re
import socket
import time

import httpx
import pytest
from fakes import a_row, an_object, assert_problem
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from server.domain.job import JobState
from server.events.bus import Bounds, Bus
from server.events.item import Kind, OwnerKind
from server.runtime.subscriptions.subscriptions import Subscriptions
from server.storage.media import Media


def eventually(what, seconds=20.0):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


class Studio:
    """A site with a real bus, on which the test speaks: stream `cam`, and jobs with files."""

    def __init__(self, site, folder):
        self.site = site
        self.media = Media(folder)
        self.states: list[bytes] = []
        self.begin()

    def begin(self, **bounds):
        """Begin with a new bus."""
        self.bus = Bus(Bounds(**bounds), epoch="e")
        runtime = self.site.runtime
        runtime.subscriptions = Subscriptions(
            self.bus, runtime.jobs, self.media, runtime.metrics, lambda _: self.states
        )
        self.site.do(lambda: self.bus.open("cam"))

    def say(self, *frames, label="car", size=0, owner="cam"):
        for frame in frames:
            row = json.dumps(a_row(frame, an_object(label), padding="x" * size)).encode()
            self.site.do(lambda row=row: self.bus.publish(owner, Kind.RESULT, row))

    def event(self, **said):
        self.site.do(lambda: self.bus.publish("cam", Kind.EVENT, json.dumps(said).encode()))

    def ended_job(self, *rows):
        job = self.site.runtime.jobs.add(*rows, state=JobState.DONE)
        self.media.source(job.id).parent.mkdir(parents=True)
        self.media.append_rows(job.id, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        return job.id

    def url(self, path):
        return f"ws://127.0.0.1:{self.site.port}{path}"

    def connected(self, kind):
        return self.site.runtime.metrics.subscribers.labels(kind)._value.get()

    def wait_for(self, count, kind="sse"):
        eventually(lambda: self.connected(kind) == count)


@pytest.fixture
def studio(site, tmp_path):
    studio = Studio(site, tmp_path)
    yield studio
    site.do(studio.bus.stop)
    studio.wait_for(0)
    studio.wait_for(0, "websocket")


class Listener:
    """An SSE client that reads when it is asked to."""

    def __init__(self, client, path, **headers):
        self._stream = client.stream("GET", path, headers=headers)
        self.answer = self._stream.__enter__()
        assert self.answer.status_code == 200, self.answer.read()
        self._lines = self.answer.iter_lines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.__exit__(None, None, None)

    def next(self):
        """(event, data, id) of the next event."""
        fields = {}
        for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                return fields["event"], json.loads(fields["data"]), fields.get("id")
            else:
                fields = {}
        raise EOFError

    def take(self, count):
        return [self.next() for _ in range(count)]

    def all(self):
        found = []
        while True:
            try:
                found.append(self.next())
            except EOFError:
                return found


def numbers(events):
    return [data["frame"] if name == "result" else name for name, data, _ in events]


# ── Server-Sent Events ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_is_followed_as_server_sent_events(studio, client):
    with Listener(client, "/v1/streams/cam/subscribe") as listener:
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        assert listener.answer.headers["cache-control"] == "no-store"
        studio.wait_for(1)
        studio.say(1, 2)
        assert [(name, data["stream"], data["frame"], id) for name, data, id in listener.take(2)] == [
            ("result", "cam", 1, "e-1"),
            ("result", "cam", 2, "e-2"),
        ]
    studio.wait_for(0)


def test_a_client_that_comes_back_goes_on_after_the_id_it_had(studio, client):
    studio.say(1, 2, 3)
    for path, headers, frames in (
        ("?from=e-1", {}, [2, 3]),
        ("?from=start", {}, [1, 2, 3]),
        ("?from=start", {"Last-Event-ID": "e-2"}, [3]),
        ("", {"Last-Event-ID": "0"}, [1, 2, 3]),
    ):
        with Listener(client, f"/v1/streams/cam/subscribe{path}", **headers) as listener:
            assert numbers(listener.take(len(frames))) == frames


def test_an_id_of_before_a_restart_is_answered_with_a_gap(studio, client):
    studio.say(1)
    with Listener(client, "/v1/streams/cam/subscribe", **{"Last-Event-ID": "f00-7"}) as listener:
        assert listener.take(2)[0] == ("gap", {"type": "gap", "reason": "restarted"}, None)
    assert studio.site.runtime.metrics.subscriber_gaps._value.get() == 1


def test_filters_leave_out_what_is_not_wanted(studio, client):
    with Listener(client, "/v1/streams/cam/subscribe?types=result,track_ended&labels=car") as listener:
        studio.wait_for(1)
        studio.say(1)
        studio.say(2, label="dog")
        studio.event(type="track_started", label="car")
        studio.event(type="track_ended", label="car")
        assert numbers(listener.take(2)) == [1, "event"]


def test_many_streams_share_a_connection_and_those_to_come_join(studio, client):
    with Listener(client, "/v1/subscribe") as all, Listener(client, "/v1/subscribe?streams=cam") as one:
        studio.wait_for(2)
        studio.site.do(lambda: studio.bus.open("new"))
        studio.say(1, owner="new")
        studio.say(2)
        assert [data["stream"] for _, data, _ in all.take(2)] == ["new", "cam"]
        assert [id for _, _, id in one.take(1)] == ["e-2"]


def test_a_stream_that_is_deleted_ends_its_subscription(studio, client):
    with Listener(client, "/v1/streams/cam/subscribe") as listener:
        studio.wait_for(1)
        studio.site.do(lambda: studio.bus.close("cam"))
        assert listener.all() == [("closed", {"type": "closed", "reason": "deleted", "stream": "cam"}, None)]
    assert_problem(client.get("/v1/streams/cam/subscribe"), 404, "stream_not_found")


def test_an_ended_job_gives_everything_from_the_start_and_then_tells_browsers_not_to_come_back(studio, client):
    job = studio.ended_job(*(a_row(frame) for frame in range(3)))
    with Listener(client, f"/v1/jobs/{job}/subscribe?from=start") as listener:
        events = listener.all()
    assert numbers(events) == [0, 1, 2, "state"]
    assert (events[-1][1]["state"], events[-1][2]) == ("done", "0-4")
    again = client.get(f"/v1/jobs/{job}/subscribe?from=start", headers={"Last-Event-ID": "0-4"})
    assert (again.status_code, again.content) == (204, b"")
    with Listener(client, f"/v1/jobs/{job}/subscribe") as listener:
        assert numbers(listener.all()) == ["state"]


def test_a_running_job_is_followed_from_its_present_state_to_its_last(studio, client):
    job = studio.site.runtime.jobs.add(state=JobState.RUNNING).id
    studio.site.do(lambda: studio.bus.open(job, OwnerKind.JOB))
    with Listener(client, f"/v1/jobs/{job}/subscribe") as listener:
        assert listener.next()[1]["state"] == "running"
        studio.say(7, owner=job)
        assert listener.next()[1:] == ({"job": job, **a_row(7, an_object(), padding="")}, "0-1")
        studio.site.do(lambda: studio.bus.end(job, b'{"type":"job_state","state":"done"}'))
        assert numbers(listener.all()) == ["state"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "code", "said"),
    [
        ("/v1/streams/nobody/subscribe", {}, 404, "stream_not_found", "nobody"),
        ("/v1/subscribe?streams=cam,nobody", {}, 404, "stream_not_found", "nobody"),
        ("/v1/subscribe?jobs=nobody", {}, 404, "job_not_found", "nobody"),
        ("/v1/jobs/nobody/subscribe", {}, 404, "job_not_found", "nobody"),
        ("/v1/streams/cam/subscribe?types=resullt", {}, 422, "fields_invalid", "`result` is"),
        ("/v1/streams/cam/subscribe?types=track_startd", {}, 422, "fields_invalid", "`track_started` is"),
        ("/v1/subscribe?type=result", {}, 422, "fields_invalid", "`types` is"),
        ("/v1/subscribe?form=start", {}, 422, "fields_invalid", "`from` is"),
        ("/v1/streams/cam/subscribe?from=yesterday", {}, 422, "fields_invalid", "from"),
        ("/v1/streams/cam/subscribe", {"Last-Event-ID": "yesterday"}, 422, "fields_invalid", "Last-Event-ID"),
        ("/v1/streams/cam/subscribe", {"Last-Event-ID": "e-" + "9" * 40}, 422, "fields_invalid", "Last-Event-ID"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_code(studio, client, path, headers, status, code, said):
    problem = assert_problem(client.get(path, headers=headers), status, code)
    assert said in problem["detail"]


def test_one_subscriber_too_many_is_told_to_come_later(studio, client):
    studio.begin(subscribers=1)
    with Listener(client, "/v1/subscribe"):
        answer = client.get("/v1/subscribe")
        problem = assert_problem(answer, 503, "subscribers_full")
        assert "[events] subscribers" in problem["hint"]
        assert answer.headers["retry-after"]
        with pytest.raises(InvalidStatus) as refused:
            connect(studio.url("/v1/ws"))
        assert refused.value.response.status_code == 503
    studio.wait_for(0)
    with Listener(client, "/v1/subscribe"):
        pass


def test_a_client_that_does_not_read_is_told_what_it_lost_and_others_lose_nothing(studio, client):
    studio.begin(queue_items=20)
    with socket.socket() as idle, Listener(client, "/v1/streams/cam/subscribe") as reader:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect(("127.0.0.1", studio.site.port))
        idle.sendall(b"GET /v1/streams/cam/subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n")
        studio.wait_for(2)
        read = []
        for frame in range(400):
            studio.say(frame, size=20_000)
            read += numbers(reader.take(1))
        assert read == list(range(400))
        idle.settimeout(20)
        received = b""
        while b"event: gap" not in received or b'"frame": 399' not in received:
            received += idle.recv(2**20)
    lost = json.loads(received.partition(b"event: gap\ndata: ")[2].partition(b"\n")[0])
    assert (lost["reason"], lost["stream"]) == ("slow", "cam")
    assert received.count(b"event: result") + lost["value"] == 400


def test_head_of_a_subscription_says_what_would_come_and_ends(studio, client):
    studio.begin(subscribers=1)
    for _ in range(3):
        head = eventually(lambda: (answer := client.head("/v1/streams/cam/subscribe")).is_success and answer)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")
    assert client.head("/v1/streams/nobody/subscribe").status_code == 404


def test_a_client_that_goes_away_from_a_quiet_stream_is_noticed(studio, client):
    with Listener(client, "/v1/streams/cam/subscribe"):
        studio.wait_for(1)
    studio.wait_for(0)


def test_a_server_that_stops_takes_its_leave(studio, client):
    with Listener(client, "/v1/subscribe") as listener, connect(studio.url("/v1/ws")) as socket:
        studio.wait_for(1)
        studio.wait_for(1, "websocket")
        studio.site.do(studio.bus.stop)
        assert [data["reason"] for _, data, _ in listener.all()] == ["stopping"]
        assert json.loads(socket.recv())["data"] == {"type": "closed", "reason": "stopping"}
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv()
        assert ended.value.rcvd.code == 1001
    assert_problem(client.get("/v1/subscribe"), 503, "stopping")


# ── WebSocket ────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask(socket, said) -> dict:
    """Send a message; the answer."""
    socket.send(said if isinstance(said, str | bytes) else json.dumps(said))
    return json.loads(socket.recv(timeout=20))


def test_a_socket_follows_what_it_asks_for_until_it_asks_no_more(studio):
    studio.site.do(lambda: studio.bus.open("other"))
    with connect(studio.url("/v1/ws")) as socket:
        answer = ask(socket, {"subscribe": {"streams": ["cam"], "types": ["result"]}})
        assert answer == {"event": "subscribed", "data": {"streams": ["cam"], "jobs": [], "id": "e-0"}}
        ask(socket, {"subscribe": {"streams": ["other"], "labels": ["dog"]}})
        studio.say(1)
        studio.say(2, owner="other")
        studio.say(3, owner="other", label="dog")
        said = [json.loads(socket.recv(timeout=20)) for _ in range(2)]
        assert [(one["id"], one["event"], one["data"]["frame"]) for one in said] == [
            ("e-1", "result", 1),
            ("e-3", "result", 3),
        ]
        assert ask(socket, {"unsubscribe": {"streams": ["cam"]}})["event"] == "unsubscribed"
        studio.say(4)
        studio.say(5, owner="other", label="dog")
        assert json.loads(socket.recv(timeout=20))["data"]["frame"] == 5
    studio.wait_for(0, "websocket")


def test_a_socket_goes_on_after_an_id(studio):
    studio.say(1, 2, 3)
    with connect(studio.url("/v1/ws")) as socket:
        ask(socket, {"subscribe": {"from": "e-1"}})
        assert [json.loads(socket.recv(timeout=20))["data"]["frame"] for _ in range(2)] == [2, 3]


def test_a_streams_own_socket_is_asked_in_its_address(studio):
    studio.say(1)
    with connect(studio.url("/v1/streams/cam/ws?types=result&from=start")) as socket:
        assert [json.loads(socket.recv(timeout=20))["event"] for _ in range(2)] == ["subscribed", "result"]


@pytest.mark.parametrize(
    ("said", "code", "detail"),
    [
        ("not JSON", "message_invalid", "not JSON"),
        ("[1]", "message_invalid", "not a JSON object"),
        ("{}", "message_invalid", "asks for nothing"),
        ("[" * 5000, "message_invalid", "not JSON"),
        (b"\x00\x01", "message_invalid", "binary"),
        ({"subscribe": {"streams": "cam"}}, "fields_invalid", "subscribe.streams"),
        ({"subscribe": {"stream": ["cam"]}}, "fields_invalid", "`streams` is"),
        ({"subscrib": {}}, "fields_invalid", "`subscribe` is"),
        ({"subscribe": {"types": ["resullt"]}}, "fields_invalid", "`result` is"),
        ({"subscribe": {"types": ["resullt"] * 1000}}, "fields_invalid", "… and 980 more."),
        ({f"x{number}": 1 for number in range(5000)}, "fields_invalid", "… and 4980 more."),
        ({"subscribe": {"from": "yesterday"}}, "fields_invalid", "subscribe.from"),
        ({"subscribe": {"streams": ["x"] * 1001}}, "fields_invalid", "subscribe.streams"),
        ({"subscribe": {"streams": ["cam", "nobody"]}}, "stream_not_found", "nobody"),
        ({"subscribe": {"jobs": ["nobody"]}}, "job_not_found", "nobody"),
    ],
)
def test_a_message_that_is_wrong_is_answered_and_the_socket_stays(studio, said, code, detail):
    with connect(studio.url("/v1/ws")) as socket:
        answer = ask(socket, said)
        assert answer["event"] == "error"
        assert answer["data"]["code"] == code
        assert detail in answer["data"]["detail"]
        ask(socket, {"subscribe": {"streams": ["cam"]}})
        studio.say(1)
        assert json.loads(socket.recv(timeout=20))["event"] == "result"


def test_a_message_that_is_too_large_closes_the_socket(studio):
    with connect(studio.url("/v1/ws"), max_size=None) as socket:
        socket.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(timeout=20)
        assert ended.value.rcvd.code == 1009


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/streams/nobody/ws", 404, "stream_not_found"),
        ("/v1/streams/cam/ws?types=resullt", 422, "fields_invalid"),
        ("/v1/streams/cam/ws?from=yesterday", 422, "fields_invalid"),
        ("/v1/streams/cam/ws?foo=1", 422, "fields_invalid"),
        ("/v1/ws?types=result", 422, "fields_invalid"),
        ("/v1/wsx", 404, "not_found"),
        ("/v1/jobs", 404, "not_found"),
    ],
)
def test_a_socket_that_cannot_be_had_is_refused_with_a_problem(studio, path, status, code):
    with pytest.raises(InvalidStatus) as refused:
        connect(studio.url(path))
    answer = refused.value.response
    problem = httpx.Response(answer.status_code, content=bytes(answer.body), headers=dict(answer.headers.raw_items()))
    assert_problem(problem, status, code)
    assert problem.headers["x-request-id"]
    counted = studio.site.client.get("/metrics").text
    assert re.search(rf'seconds_count{{method="GET",route="[^"]+",status="{status}"}} 1.0', counted)


def test_a_socket_has_the_id_that_its_client_gave_it(studio):
    with connect(studio.url("/v1/ws"), additional_headers={"X-Request-ID": "mine-1"}) as socket:
        assert socket.response.headers["X-Request-ID"] == "mine-1"


def test_a_socket_that_does_not_read_is_told_what_it_lost(studio):
    studio.begin(queue_items=20)
    with connect(studio.url("/v1/ws"), max_queue=1) as socket:
        ask(socket, {"subscribe": {}})
        for frame in range(600):
            studio.say(frame, size=20_000)
        said = [json.loads(socket.recv(timeout=20))]
        while said[-1]["data"].get("frame") != 599:
            said.append(json.loads(socket.recv(timeout=20)))
    (gap,) = [one["data"] for one in said if one["event"] == "gap"]
    assert gap["value"] == 600 - sum(one["event"] == "result" for one in said)


def test_a_socket_that_does_not_read_the_answers_to_its_messages_is_told_how_many_had_to_go(studio):
    studio.begin(queue_items=20)
    with connect(studio.url("/v1/ws"), max_queue=1) as socket:
        for _ in range(3000):
            socket.send(json.dumps({"x" * 150 + str(number): 1 for number in range(20)}))
        ask(socket, {"subscribe": {}})
        said = [json.loads(socket.recv(timeout=20))]
        while said[-1]["event"] != "subscribed":
            said.append(json.loads(socket.recv(timeout=20)))
    gaps = [one["data"] for one in said if one["event"] == "gap"]
    assert {one["reason"] for one in gaps} == {"slow"}
    # The first answer was taken by `ask`.
    assert sum(one["value"] for one in gaps) + sum(one["event"] == "error" for one in said) == 2999
