from fakes import assert_problem

from server.domain.job import JobError, JobState, LabelSummary
from server.domain.outcome import Outcome


def test_a_job_is_shown_without_what_is_not_known(site, client):
    job = site.runtime.jobs.add()
    answer = client.get(f"/v1/jobs/{job.id}").json()
    assert answer["state"] == "queued"
    assert answer["created_at"] == "2026-01-02T03:04:05Z"
    assert "progress" not in answer
    assert "error" not in answer


def test_a_job_that_ended_shows_frames_summary_and_error(site, client):
    summary = {"car": LabelSummary(frames=3, most_at_once=2, tracks=2, first_s=0.0, last_s=0.2)}
    failed = JobError(code="video_unreadable", message="Not one frame could be read.")
    frames = {Outcome.ANALYSED: 3}
    job = site.runtime.jobs.add(state=JobState.FAILED, frames=frames, summary=summary, error=failed)
    answer = client.get(f"/v1/jobs/{job.id}").json()
    assert answer["frames"] == {"analysed": 3}
    assert answer["summary"]["car"]["tracks"] == 2
    assert answer["error"]["code"] == "video_unreadable"


def test_wait_answers_when_the_job_has_ended(site, client):
    job = site.runtime.jobs.add()
    assert client.get(f"/v1/jobs/{job.id}?wait=30").json()["state"] == "done"
    assert site.runtime.jobs.waited == [30.0]


def test_wait_has_a_bound(site, client):
    job = site.runtime.jobs.add()
    for seconds in ("61", "-1", "soon", "nan"):
        answer = client.get(f"/v1/jobs/{job.id}", params={"wait": seconds})
        assert assert_problem(answer, 422, "fields_invalid")["errors"][0]["field"] == "wait"


def test_a_list_comes_in_pages_newest_first(site, client):
    made = [site.runtime.jobs.add().id for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = client.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert seen == made[::-1]


def test_a_list_may_be_of_one_state(site, client):
    site.runtime.jobs.add()
    done = site.runtime.jobs.add(state=JobState.DONE)
    assert [job["id"] for job in client.get("/v1/jobs?state=done").json()["items"]] == [done.id]


def test_a_query_that_is_not_known_is_refused_with_the_nearest_one(client):
    problem = assert_problem(client.get("/v1/jobs?limmit=3"), 422, "fields_invalid")
    assert problem["errors"] == [{"field": "limmit", "message": "it is not known; `limit` is."}]


def test_a_limit_has_bounds(client):
    for limit in (0, 201):
        assert_problem(client.get("/v1/jobs", params={"limit": limit}), 422, "fields_invalid")


def test_cancelling_keeps_what_has_ended(site, client):
    queued, done = site.runtime.jobs.add(), site.runtime.jobs.add(state=JobState.DONE)
    for _ in range(2):
        assert client.post(f"/v1/jobs/{queued.id}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/v1/jobs/{done.id}/cancel").json()["state"] == "done"


def test_a_deleted_job_is_gone(site, client):
    job = site.runtime.jobs.add()
    answer = client.delete(f"/v1/jobs/{job.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(client.get(f"/v1/jobs/{job.id}"), 404, "job_not_found")


def test_every_call_on_a_job_that_is_not_there_is_not_found(client):
    for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
        assert_problem(client.request(method, f"/v1/jobs/nobody{path}"), 404, "job_not_found")
