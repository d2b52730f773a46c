import os
import shutil
import threading

import pytest

from server.core.errors import JobNotFound, StorageError, StorageFull, UploadTooLarge
from server.storage.media import Media

CHUNK = 128 * 1024


@pytest.fixture
def media(tmp_path):
    return Media(tmp_path)


def an_upload(media, content=b"video", name="a.mp4"):
    writer = media.uploads.open(limit=10**6)
    writer.write(content)
    return writer.finish(name)


def with_job(media, job_id="job1"):
    media.adopt(job_id, an_upload(media))
    return media


def rows(media, job_id="job1"):
    return b"".join(media.read_rows(job_id))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_upload_knows_its_size_and_hash_and_is_nobody_elses_to_read(media):
    upload = an_upload(media, b"abc")
    assert upload.size == 3
    assert upload.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert upload.path.stat().st_mode & 0o777 == 0o600


def test_an_upload_may_have_the_limit_and_not_a_byte_more(media):
    writer = media.uploads.open(limit=4)
    writer.write(b"1234")
    with pytest.raises(UploadTooLarge, match="4 bytes"):
        writer.write(b"5")
    writer.abort()
    with pytest.raises(UploadTooLarge):
        media.uploads.open(limit=4, expected=5)


def test_an_upload_that_cannot_fit_on_the_disk_is_refused_at_once(media, tmp_path):
    with pytest.raises(StorageFull):
        media.uploads.open(limit=2**60, expected=2**59)
    assert files(tmp_path) == []


def test_an_upload_leaves_free_what_it_has_to(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    roomy = Media(tmp_path, free_bytes=free // 2).uploads
    roomy.open(limit=2**60, expected=1000).abort()
    with pytest.raises(StorageFull):
        roomy.open(limit=2**60, expected=free - free // 4)
    with pytest.raises(StorageFull):
        Media(tmp_path, free_bytes=free * 2).uploads.open(limit=2**60)
    assert files(tmp_path) == []


def test_an_upload_ends_where_others_have_taken_the_space(tmp_path, monkeypatch):
    writer = Media(tmp_path, free_bytes=1000).uploads.open(limit=10**6)
    writer.write(b"video")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1003))
    writer.write(b"eo")
    with pytest.raises(StorageFull):
        writer.write(b"video")
    writer.abort()


def test_an_upload_that_fills_the_disk_is_refused_and_leaves_nothing(media, tmp_path, files_of_at_most):
    writer = media.uploads.open(limit=10**6)
    with files_of_at_most(1000), pytest.raises(StorageFull) as full:
        writer.write(bytes(2000))
    writer.abort()
    assert full.value.code == "storage_full"
    assert files(tmp_path) == []


def test_an_upload_is_renamed_into_its_job_without_extension(media, tmp_path):
    upload = an_upload(media)
    inode = upload.path.stat().st_ino
    assert media.adopt("job1", upload).stat().st_ino == inode
    upload.discard()
    assert files(tmp_path) == ["jobs/job1/source"]
    assert media.source("job1").read_bytes() == b"video"


def test_a_video_of_this_machine_stays_where_it_is(media, tmp_path):
    (tmp_path / "street.mp4").write_bytes(b"video")
    media.link("job1", tmp_path / "street.mp4")
    assert media.source("job1").read_bytes() == b"video"
    media.delete("job1")
    assert files(tmp_path) == ["street.mp4"]


def test_an_id_cannot_leave_the_folder(media):
    for bad in ("..", "a/b", "", ".", "a\0b"):
        with pytest.raises(JobNotFound):
            media.source(bad)


def test_rows_are_read_as_whole_lines_only(media):
    with_job(media).append_rows("job1", b'{"a":1}\n')
    with (media.source("job1").parent / "rows.ndjson").open("ab") as file:
        file.write(b'{"a":')
    assert rows(media) == b'{"a":1}\n'


def test_rows_come_in_chunks_of_whole_lines(media):
    line = b'{"frame":%06d,"x":"' + b"x" * 1000 + b'"}\n'
    written = b"".join(line % number for number in range(600))
    with_job(media).append_rows("job1", written)
    chunks = list(media.read_rows("job1"))
    assert len(chunks) > 1
    assert all(chunk.endswith(b"\n") and len(chunk) <= CHUNK + len(line) for chunk in chunks)
    assert b"".join(chunks) == written


def test_a_line_longer_than_a_chunk_comes_whole(media):
    line = b'"' + b"x" * (3 * CHUNK) + b'"\n'
    with_job(media).append_rows("job1", line + b"1\n")
    assert rows(media) == line + b"1\n"


def test_reading_ends_where_the_rows_ended_when_it_began(media):
    with_job(media).append_rows("job1", b"x" * CHUNK + b"\n1\n")
    chunks = media.read_rows("job1")
    first = next(chunks)
    media.append_rows("job1", b"2\n")
    assert first + b"".join(chunks) == b"x" * CHUNK + b"\n1\n"


def test_a_job_that_has_no_rows_yet_has_none(media):
    assert rows(with_job(media)) == b""
    assert rows(media, "unknown") == b""


def test_reading_while_another_thread_appends_gives_whole_rows_in_order(media):
    with_job(media)
    done = threading.Event()

    def append():
        for number in range(2000):
            media.append_rows("job1", b"%d\n" % number, b"e\n")
        done.set()

    writer = threading.Thread(target=append)
    writer.start()
    while not done.is_set():
        numbers = [int(line) for line in rows(media).splitlines()]
        assert numbers == list(range(len(numbers)))
    writer.join()
    assert len(rows(media).splitlines()) == 2000


def test_a_job_without_a_checkpoint_begins_again(media):
    with_job(media).append_rows("job1", b"1\n", b"e\n")
    assert media.resume("job1") is None
    assert rows(media) == b"" == b"".join(media.read_events("job1"))


def test_a_job_goes_on_from_its_checkpoint_and_rows_past_it_are_cut_off(media):
    with_job(media).append_rows("job1", b"1\n", b"e1\n")
    media.commit_checkpoint("job1", b"after 1")
    media.append_rows("job1", b"2\n", b"e2\n")
    assert media.resume("job1") == b"after 1"
    assert rows(media) == b"1\n"
    assert b"".join(media.read_events("job1")) == b"e1\n"


def test_a_later_checkpoint_takes_the_place_of_the_one_before(media):
    with_job(media)
    for number in range(3):
        media.append_rows("job1", b"%d\n" % number)
        media.commit_checkpoint("job1", b"after %d" % number)
    media.append_rows("job1", b"3\n")
    for _ in range(2):
        assert media.resume("job1") == b"after 2"
    assert rows(media) == b"0\n1\n2\n"


def test_a_checkpoint_that_was_being_written_leaves_the_one_before(media):
    with_job(media).append_rows("job1", b"1\n")
    media.commit_checkpoint("job1", b"after 1")
    (media.source("job1").parent / "checkpoint.part").write_bytes(b"half")
    assert media.resume("job1") == b"after 1"


@pytest.mark.parametrize("damage", ["checkpoint", "rows.ndjson"])
def test_a_checkpoint_that_does_not_fit_the_results_is_not_believed(media, damage, caplog):
    with_job(media).append_rows("job1", b"1\n2\n")
    media.commit_checkpoint("job1", b"after 2")
    os.truncate(media.source("job1").parent / damage, 2)
    assert media.resume("job1") is None
    assert rows(media) == b""
    assert "job1" in caplog.text
    media.append_rows("job1", b"1\n")
    assert media.resume("job1") is None


def test_rows_that_do_not_fit_on_the_disk_are_not_written_at_all(media, files_of_at_most):
    with_job(media).append_rows("job1", b"1\n", b"e\n" * 400)
    with files_of_at_most(1000), pytest.raises(StorageFull):
        media.append_rows("job1", b"2\n", b"e\n" * 400)
    assert rows(media) == b"1\n"
    assert len(b"".join(media.read_events("job1"))) == 800


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_one_before(media, files_of_at_most):
    with_job(media).append_rows("job1", b"1\n")
    media.commit_checkpoint("job1", b"after 1")
    with files_of_at_most(1000), pytest.raises(StorageFull):
        media.commit_checkpoint("job1", bytes(5000))
    assert media.resume("job1") == b"after 1"


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "jobs").touch()
    media = Media(tmp_path)
    with pytest.raises(StorageError, match="jobs/job1"):
        media.append_rows("job1", b"1\n")


def test_an_ended_job_keeps_its_results_and_has_no_checkpoint(media):
    with_job(media).append_rows("job1", b"1\n")
    media.commit_checkpoint("job1", b"x")
    for _ in range(2):
        media.seal("job1")
        media.forget_checkpoint("job1")
    assert rows(media) == b"1\n"
    assert files(media.source("job1").parent) == ["events.ndjson", "rows.ndjson", "source"]


def test_deleting_twice_is_deleting_once(media, tmp_path):
    with_job(media)
    for _ in range(2):
        media.delete("job1")
    assert files(tmp_path) == []


def test_what_a_crash_left_behind_is_swept(media, tmp_path):
    with_job(media, "kept")
    with_job(media, "orphan")
    media.uploads.open(limit=10).finish("half.mp4")
    assert media.sweep({"kept"}, {"kept"}) == 2
    assert files(tmp_path) == ["jobs/kept/source"]


def test_the_first_start_has_nothing_to_sweep(media):
    assert media.sweep((), ()) == 0


def test_what_it_would_have_taken_to_go_on_with_an_ended_job_is_swept(media, tmp_path):
    for job in ("ended", "unfinished"):
        media.resume(job)
        media.append_rows(job, b"{}\n")
        media.commit_checkpoint(job, b"how to go on")
    (tmp_path / "jobs" / "ended" / "checkpoint.part").touch()
    assert media.sweep({"ended", "unfinished"}, {"unfinished"}) == 1
    assert {path.name for path in (tmp_path / "jobs" / "ended").iterdir()} == {"rows.ndjson", "events.ndjson"}
    assert media.resume("unfinished") == b"how to go on"


def test_what_is_used_is_counted_by_kind(media):
    with_job(media).append_rows("job1", b"1\n")
    an_upload(media, b"12345678")
    kinds, free = media.usage()
    assert kinds == {"jobs": 7, "uploads": 8, "imports": 0}
    assert free > 0
