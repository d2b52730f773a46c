from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from server.core.errors import FieldsInvalid, JobNotFound, KeyConflict, QueueFull, TransitionRefused
from server.domain.analysis import Analysis
from server.domain.job import FOLLOWS, Job, JobError, JobState, LabelSummary
from server.domain.outcome import Outcome
from server.storage.database import Database
from server.storage.jobs import JobStore

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def a_job(number: int = 1, **more: object) -> Job:
    said = {"state": JobState.QUEUED, "created_at": NOON, "source": "street.mp4", "analysis": Analysis(labels=("car",))}
    return Job(**{**said, "id": f"job{number}", **more})


@pytest.fixture
def store(tmp_path):
    database = Database.open(tmp_path / "a.db")
    yield JobStore(database)
    database.close()


def test_a_job_comes_back_as_it_was_kept(store):
    job = a_job(
        state=JobState.RUNNING,
        started_at=NOON + timedelta(seconds=1, microseconds=5),
        model="yolox-nano@1",
        width=640,
        height=360,
        duration_s=1.5,
        progress=0.25,
        fps=12.5,
        frames={Outcome.ANALYSED: 3, Outcome.DECODE_ERROR: 1},
        summary={"car": LabelSummary(frames=3, most_at_once=2, tracks=2, first_s=0.1, last_s=0.9)},
        warnings=("cut off",),
        error=JobError(code="x", message="y"),
    )
    assert store.create(job) == (job, True)
    assert store.get("job1") == job


def test_moments_are_kept_in_utc_whatever_their_zone(store):
    store.create(a_job(created_at=NOON.astimezone(timezone(timedelta(hours=5)))))
    assert store.get("job1").created_at == NOON
    assert store.get("job1").created_at.tzinfo is UTC


def test_a_job_that_is_not_there_is_not_found(store):
    for call in (store.get, store.url, store.delete, store.update):
        with pytest.raises(JobNotFound, match="nobody"):
            call("nobody")


def test_the_same_key_gives_the_job_that_was_made_first(store):
    first, _ = store.create(a_job(1), key="k", fingerprint="f")
    store.update("job1", progress=0.5)
    again, created = store.create(a_job(2), key="k", fingerprint="f")
    assert (again.id, again.progress, created) == (first.id, 0.5, False)


def test_the_same_key_for_something_else_is_a_conflict_until_the_job_is_deleted(store):
    store.create(a_job(1), key="k", fingerprint="f")
    with pytest.raises(KeyConflict, match="job1"):
        store.create(a_job(2), key="k", fingerprint="g")
    store.delete("job1")
    assert store.create(a_job(2), key="k", fingerprint="g")[1]


def test_the_same_key_at_the_same_moment_gives_one_job(store):
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: store.create(a_job(number), key="k", fingerprint="f"), range(16)))
    assert len({job.id for job, _ in made}) == 1
    assert sum(created for _, created in made) == 1


def test_as_many_jobs_wait_as_may(tmp_path):
    database = Database.open(tmp_path / "a.db")
    store = JobStore(database, queued=2)
    store.create(a_job(1), key="k", fingerprint="f")
    store.create(a_job(2))
    for refuse in (lambda: store.create(a_job(3)), lambda: store.check_room(None), lambda: store.check_room("other")):
        with pytest.raises(QueueFull, match="2 jobs wait") as full:
            refuse()
        assert "[jobs] queued" in full.value.hint
    # What was accepted is found, full or not.
    store.check_room("k")
    assert not store.create(a_job(3), key="k", fingerprint="f")[1]
    store.update("job1", state=JobState.RUNNING)
    store.check_room(None)
    assert store.create(a_job(3))[1]
    # A job that goes back to the queue is not refused.
    store.update("job1", state=JobState.QUEUED)
    database.close()


def test_jobs_that_come_at_the_same_moment_do_not_overfill_the_queue(tmp_path):
    database = Database.open(tmp_path / "a.db")
    store = JobStore(database, queued=5)

    def create(number):
        try:
            return store.create(a_job(number))[1]
        except QueueFull:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(16))) == 5
    assert store.counts()[JobState.QUEUED] == 5
    database.close()


def test_jobs_without_a_key_are_never_the_same(store):
    assert store.create(a_job(1), fingerprint="f")[1]
    assert store.create(a_job(2), fingerprint="f")[1]


def test_pages_lead_through_all_jobs_newest_first_while_others_come_and_go(store):
    for number in range(7):
        store.create(a_job(number))
    page, cursor = store.page(limit=3)
    assert [job.id for job in page] == ["job6", "job5", "job4"]
    store.create(a_job(7))
    store.delete("job4")
    store.delete("job3")
    page, cursor = store.page(limit=2, cursor=cursor)
    assert [job.id for job in page] == ["job2", "job1"]
    page, cursor = store.page(limit=2, cursor=cursor)
    assert ([job.id for job in page], cursor) == (["job0"], None)


def test_a_last_page_that_is_full_is_the_last(store):
    store.create(a_job(1))
    assert store.page(limit=1) == ([a_job(1)], None)


def test_pages_of_one_state(store):
    for number in range(4):
        store.create(a_job(number, state=JobState.DONE if number % 2 else JobState.QUEUED))
    page, cursor = store.page(state=JobState.DONE, limit=1)
    rest, _ = store.page(state=JobState.DONE, limit=1, cursor=cursor)
    assert [job.id for job in (*page, *rest)] == ["job3", "job1"]


@pytest.mark.parametrize("cursor", ["", "x", "ü", "j", "j-1", "j1 ", "k1", "j٣", "j" + "9" * 19])
def test_a_cursor_that_was_never_given_is_refused(store, cursor):
    with pytest.raises(FieldsInvalid, match="cursor"):
        store.page(cursor=cursor)


@pytest.mark.parametrize("before", JobState)
@pytest.mark.parametrize("after", JobState)
def test_only_the_states_that_may_follow_do(store, before, after):
    store.create(a_job(state=before))
    if after is before or after in FOLLOWS[before]:
        changed, was = store.update("job1", state=after)
        assert (changed.state, was) == (after, before)
    else:
        with pytest.raises(TransitionRefused, match=f"is {before} and cannot become {after}"):
            store.update("job1", state=after)
        assert store.get("job1").state is before


def test_a_refused_state_names_what_may_follow(store):
    store.create(a_job())
    with pytest.raises(TransitionRefused, match="it can become cancelled, failed, running"):
        store.update("job1", state=JobState.DONE)
    store.update("job1", state=JobState.CANCELLED)
    with pytest.raises(TransitionRefused, match="nothing follows"):
        store.update("job1", state=JobState.RUNNING)


def test_a_refused_change_changes_nothing_else(store):
    store.create(a_job())
    with pytest.raises(TransitionRefused):
        store.update("job1", state=JobState.DONE, progress=1.0)
    assert store.get("job1").progress is None


def test_the_url_is_kept_until_the_job_ends(store):
    store.create(a_job(), url="https://user:secret@example.com/a")
    assert store.url("job1") == "https://user:secret@example.com/a"
    store.update("job1", state=JobState.RUNNING, started_at=NOON)
    assert store.url("job1")
    store.update("job1", state=JobState.DONE, ended_at=NOON)
    assert store.url("job1") is None


def test_unfinished_jobs_are_found_oldest_first(store):
    for number, state in enumerate((JobState.RUNNING, JobState.DONE, JobState.QUEUED, JobState.FAILED)):
        store.create(a_job(number, state=state))
    assert [job.id for job in store.unfinished()] == ["job0", "job2"]


def test_jobs_are_counted_by_state(store):
    store.create(a_job(1))
    store.create(a_job(2))
    assert store.counts() == {state: 2 if state is JobState.QUEUED else 0 for state in JobState}
    assert store.ids() == {"job1", "job2"}


def test_jobs_that_ended_long_ago_are_found_first_those_that_ended_first_and_none_that_has_not_ended(store):
    for number, (state, hours) in enumerate(
        [(JobState.DONE, 3), (JobState.FAILED, 1), (JobState.CANCELLED, 2), (JobState.DONE, 5)]
    ):
        store.create(a_job(number, state=state, ended_at=NOON + timedelta(hours=hours)))
    store.create(a_job(7, state=JobState.RUNNING))
    store.create(a_job(8))
    assert store.ended_before(NOON + timedelta(hours=4), 10) == ["job1", "job2", "job0"]
    assert store.ended_before(NOON + timedelta(hours=4), 2) == ["job1", "job2"]
    assert store.ended_before(NOON, 10) == []
