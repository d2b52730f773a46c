"""Who follows a job: over lost connections, killed servers, in Python and in a real browser."""

import json
import shutil

import pytest
from browser import browsing
from footage import STREET_FRAMES
from letting_go import stopped_under_subscribers
from serving import SAMPLE, Server, eventually, serving
from websockets.sync.client import connect


def follow(server, job, last_id="now", *, until=None):
    """(event, data, id) of a job's subscription to its end, or until one for which `until` is true."""
    yield from listen(server, f"/v1/jobs/{job['id']}/subscribe", last_id, until=until)


def listen(server, url, last_id="now", *, until=None):
    """The same of any subscription."""
    with server.client.stream("GET", url, headers={"Last-Event-ID": last_id}, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        fields = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if "event" in fields:
                found = fields["event"], json.loads(fields["data"]), fields.get("id")
                yield found
                if until is not None and until(found):
                    return
            fields = {}


def results(told):
    """Rows as the results have them."""
    return [
        {name: value for name, value in data.items() if name != "job"} for kind, data, _ in told if kind == "result"
    ]


def events(told):
    return [data for kind, data, _ in told if kind == "event"]


def test_who_follows_a_job_hears_all_that_its_results_say(server, street):
    job = server.post(street)
    told = list(follow(server, job))
    assert told[0][0] == "state"
    assert told[-1][1]["state"] == "done"
    rows = [json.loads(line) for line in server.rows(job).splitlines()]
    assert len(rows) == STREET_FRAMES
    whole = list(follow(server, job, "start"))
    assert results(whole) == rows
    # Following began a moment after the job.
    assert results(told) == rows[len(rows) - len(results(told)) :]
    assert events(whole)
    assert [event["seq"] for event in events(whole)] == list(range(1, len(events(whole)) + 1))
    url = f"/v1/jobs/{job['id']}/subscribe"
    assert server.client.get(url, headers={"Last-Event-ID": told[-1][2]}).status_code == 204


def test_a_client_goes_on_over_a_killed_server_and_misses_nothing(tmp_path, street):
    first = Server(tmp_path, env={"VIDSERVE_JOBS__CHECKPOINT_S": "0.2"})
    first.wait_ready()
    job = first.post(street)
    told = list(follow(first, job, "start", until=lambda found: found[0] == "result" and found[1]["frame"] == 60))
    first.kill()
    with serving(tmp_path) as second:
        last_id = [id for _, _, id in told if id][-1]
        told += follow(second, job, last_id)
        rows = [json.loads(line) for line in second.rows(job).splitlines()]
        assert results(told) == rows
        assert [row["frame"] for row in rows] == list(range(STREET_FRAMES))
        seqs = [event["seq"] for event in events(told)]
        assert seqs == list(range(1, len(seqs) + 1))
        history = eventually(lambda: history_of(second, job, len(seqs)))
        assert sorted(event["seq"] for event in history if event["type"] != "job_state") == seqs


def history_of(server, job, wanted):
    """All of a job's events, once its last state is among them."""
    found, cursor = [], {}
    while True:
        page = server.client.get("/v1/events", params={"job": job["id"], "limit": 200, **cursor}).json()
        found += page["items"]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    done = any(event.get("state") == "done" for event in found)
    return found if done and len(found) >= wanted else None


def test_over_a_socket_a_job_is_followed_to_its_end(server, street):
    with connect(f"ws://127.0.0.1:{server.port}/v1/ws") as socket:
        job = server.post(street)
        socket.send(json.dumps({"subscribe": {"jobs": [job["id"]], "types": ["result", "state"], "from": "start"}}))
        messages, awaited = [], {"done", STREET_FRAMES - 1}
        # It may be done before it is followed, and its state comes first then.
        while awaited:
            messages.append(json.loads(socket.recv(timeout=60)))
            awaited -= {messages[-1]["data"].get("state"), messages[-1]["data"].get("frame")}
    # Of what was before it asked only the newest is kept in memory.
    assert {message["event"] for message in messages} - {"gap"} == {"subscribed", "state", "result"}
    frames = [message["data"]["frame"] for message in messages if message["event"] == "result"]
    assert frames == list(range(STREET_FRAMES))[-len(frames) :]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server that may play the sample as if it were a camera."""
    settings = tmp_path_factory.mktemp("site") / "vidserve.toml"
    settings.write_text(f'[sources]\nfolders = ["{SAMPLE.parent}"]\n')
    with serving(settings.parent / "data", "--config", str(settings)) as server:
        yield server


def a_stream(site, name):
    body = {"name": name, "url": f"file://{SAMPLE}", "loop": True, "analysis": {"sample_fps": 10}}
    return site.client.post("/v1/streams?force=true", json=body).raise_for_status().json()["id"]


def test_a_stream_is_followed_left_and_followed_again_without_a_hole(site):
    stream = a_stream(site, "street")
    url = f"/v1/streams/{stream}/subscribe"

    def enough(found):
        return found[0] == "result" and found[1]["frame"] >= first + 20

    first = 0
    told = list(listen(site, url, "start", until=enough))
    first = told[-1][1]["frame"]
    last_id = [id for _, _, id in told if id][-1]
    told += listen(site, url, last_id, until=enough)
    whole = list(listen(site, url, "start", until=lambda found: found[2] == told[-1][2]))
    assert [found for found in told if found[2]] == [found for found in whole if found[2]]
    assert all(data["stream"] == stream for _, data, _ in told)
    assert "running" in [data["state"] for name, data, _ in told if name == "state"]
    assert events(told)
    kept = eventually(lambda: site.client.get("/v1/events", params={"stream": stream, "limit": 200}).json()["items"])
    assert {event["type"] for event in kept} >= {"stream_state"}


def test_streams_come_and_go_on_one_connection(site):
    with connect(f"ws://127.0.0.1:{site.port}/v1/ws") as socket:
        socket.send(json.dumps({"subscribe": {"types": ["result", "state"]}}))
        assert json.loads(socket.recv(timeout=60))["event"] == "subscribed"
        stream = a_stream(site, "here today")
        told = {}
        while told.get("event") != "result" or told["data"]["stream"] != stream:
            told = json.loads(socket.recv(timeout=60))
        site.client.delete(f"/v1/streams/{stream}").raise_for_status()
        while told["event"] != "closed":
            told = json.loads(socket.recv(timeout=60))
        assert told["data"] == {"type": "closed", "reason": "deleted", "stream": stream}
    assert site.client.get(f"/v1/streams/{stream}/subscribe").json()["code"] == "stream_not_found"
    eventually(lambda: site.client.get("/v1/events", params={"stream": stream}).json()["items"] == [])


def test_events_are_in_the_history_until_their_job_is_deleted(server, street):
    job = server.wait(server.post(street))
    query = {"job": job["id"], "type": "track_started", "limit": 200}
    tracks = job["summary"]["moving"]["tracks"]
    started = eventually(
        lambda: len(found := server.client.get("/v1/events", params=query).json()["items"]) == tracks and found
    )
    assert server.client.get(f"/v1/events/{started[0]['id']}").json() == started[0]
    server.client.delete(f"/v1/jobs/{job['id']}").raise_for_status()
    eventually(lambda: server.client.get("/v1/events", params={"job": job["id"]}).json()["items"] == [])


def test_a_job_that_is_deleted_takes_its_leave(server, long_video):
    job = server.post(long_video)
    told = []
    for found in follow(server, job):
        told.append(found)
        if len(told) == 1:
            server.client.delete(f"/v1/jobs/{job['id']}").raise_for_status()
    # Deleting cancels first, and the last state ends a subscription.
    assert told[-1][1].get("state") == "cancelled" or told[-1][0] == "closed"
    assert server.client.get(f"/v1/jobs/{job['id']}/subscribe").json()["code"] == "job_not_found"


def test_a_server_that_is_told_to_stop_ends_subscriptions_at_once_and_in_order(tmp_path):
    with serving(tmp_path) as server:
        assert stopped_under_subscribers(server, "/v1/subscribe") < 60
    # Who is cancelled on the way has said that it is closed: on a busy machine, the second for that may be too short.
    assert "Traceback" not in server.log.read_text()


def test_subscribers_are_counted(server):
    def connected():
        lines = server.client.get("/metrics").text.splitlines()
        return {line for line in lines if line.startswith("vidserve_subscriber")}

    nobody = 'vidserve_subscribers{kind="sse"} 0.0'
    eventually(lambda: nobody in connected())
    with server.client.stream("GET", "/v1/subscribe"):
        eventually(lambda: 'vidserve_subscribers{kind="sse"} 1.0' in connected())
    eventually(lambda: nobody in connected())


@pytest.fixture
def page(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no browser here: `make test-deps` installs chromium")
    with browsing(chromium, tmp_path / "profile") as page:
        yield page


def test_a_browser_follows_a_job_to_its_end_and_then_rests(server, page, street):
    page.open(f"http://127.0.0.1:{server.port}/docs")
    job = server.post(street)
    frames, states = page.call(
        """(job) => new Promise((done) => {
          const frames = [], states = [];
          const source = new EventSource(`/v1/jobs/${job}/subscribe?from=start`);
          source.addEventListener("result", (event) => frames.push(JSON.parse(event.data).frame));
          source.addEventListener("state", (event) => states.push(JSON.parse(event.data).state));
          // It connects again when the answer ends, and is told that there is nothing more.
          source.onerror = () => source.readyState === EventSource.CLOSED && done([frames, states]);
        })""",
        job["id"],
    )
    assert frames == list(range(STREET_FRAMES))
    assert states[-1] == "done"


def test_a_browser_follows_a_job_over_a_socket(server, page, street):
    page.open(f"http://127.0.0.1:{server.port}/docs")
    job = server.post(street)
    frames = page.call(
        """(job, last) => new Promise((done) => {
          const frames = [];
          const socket = new WebSocket(`ws://${location.host}/v1/ws`);
          socket.onopen = () => socket.send(JSON.stringify({ subscribe: { jobs: [job], from: "start" } }));
          socket.onmessage = (message) => {
            const { event, data } = JSON.parse(message.data);
            // Its state may be `done` before the socket is open, and comes first then.
            if (event === "result") frames.push(data.frame);
            if (event === "result" && data.frame === last) done(frames);
          };
        })""",
        job["id"],
        STREET_FRAMES - 1,
    )
    assert frames == list(range(STREET_FRAMES))[-len(frames) :]
