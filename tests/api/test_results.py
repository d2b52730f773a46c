import asyncio
import csv
import io
import json

import pytest
from fakes import a_class_row, a_row, an_object, assert_problem, ndjson

from model_export.manifest import Task
from server.api.conversion import Format, convert
from server.domain.analysis import Analysis

ROWS = [
    a_row(0, an_object("car", 2, 1), an_object("person", 0, 7, x1=99.9)),
    a_row(1),
    a_row(2, an_object("car", 2, 1, x1=12.345), an_object("car", 2, None)),
]


def read(client, job, **query):
    return client.get(f"/v1/jobs/{job.id}/results", params=query)


def test_ndjson_is_every_row_as_it_was_written(site, client):
    job = site.runtime.jobs.add(*ROWS)
    answer = read(client, job)
    assert answer.content == ndjson(*ROWS)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job.id}.ndjson"'


def test_csv_has_a_line_an_object(site, client):
    answer = read(client, site.runtime.jobs.add(*ROWS), format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["frame"], line["track_id"], line["label"]) for line in lines] == [
        ("0", "1", "car"),
        ("0", "7", "person"),
        ("2", "1", "car"),
        ("2", "", "car"),
    ]
    assert [float(lines[0][name]) for name in ("pts_s", "x1", "y1", "x2", "y2")] == [0.0, 10.0, 20.5, 40.25, 40.5]


def test_mot_has_a_line_a_tracked_object_and_counts_frames_and_pixels_from_one(site, client):
    answer = read(client, site.runtime.jobs.add(*ROWS), format="mot")
    assert answer.text.splitlines() == [
        "1,1,11.0,21.5,30.25,20.0,0.5,-1,-1,-1",
        "1,7,100.9,21.5,30.25,20.0,0.5,-1,-1,-1",
        "3,1,13.345,21.5,30.25,20.0,0.5,-1,-1,-1",
    ]


def test_coco_is_one_document_whose_references_hold(site, client):
    answer = read(client, site.runtime.jobs.add(*ROWS), format="coco")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert [image["id"] for image in document["images"]] == [0, 1, 2]
    assert document["images"][2]["file_name"] == "frame_000002.jpg"
    assert {category["id"]: category["name"] for category in document["categories"]} == {1: "person", 3: "car"}
    first, *_, last = document["annotations"]
    assert first == {
        "id": 1,
        "image_id": 0,
        "category_id": 3,
        "bbox": [10.0, 20.5, 30.25, 20.0],
        "area": 605.0,
        "iscrowd": 0,
        "score": 0.5,
        "track_id": 1,
    }
    assert (last["id"], last["image_id"]) == (4, 2)
    assert "track_id" not in last


@pytest.mark.parametrize("at", [0, 1, 3])
def test_coco_is_a_document_however_its_rows_come(at):
    async def rows():
        for chunk in [*(ndjson(row) for row in ROWS[:at]), b"", *(ndjson(row) for row in ROWS[at:])]:
            yield chunk

    async def converted():
        return b"".join([piece async for piece in convert(rows, Format.COCO)])

    document = json.loads(asyncio.run(converted()))
    assert (len(document["images"]), len(document["annotations"])) == (3, 4)


@pytest.mark.parametrize("form", ["ndjson", "csv", "coco", "mot"])
def test_a_job_without_rows_yet_has_results_that_parse(site, client, form):
    answer = read(client, site.runtime.jobs.add(), format=form)
    assert answer.status_code == 200
    if form == "coco":
        assert answer.json()["images"] == answer.json()["annotations"] == answer.json()["categories"] == []
    else:
        assert len(answer.text.splitlines()) == (form == "csv")


def test_coco_of_a_running_job_has_no_annotation_without_its_image(site, client):
    job = site.runtime.jobs.add(*ROWS)
    chunks = site.runtime.jobs.results[job.id]

    class Growing(list):
        def __iter__(self):
            seen = list(super().__iter__())
            chunks.append(ndjson(a_row(len(chunks) * 10, an_object())))
            return iter(seen)

    chunks = site.runtime.jobs.results[job.id] = Growing(chunks)
    document = read(client, job, format="coco").json()
    images = {image["id"] for image in document["images"]}
    assert images
    assert {one["image_id"] for one in document["annotations"]} <= images


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/x-ndjson"),
        ("text/*;q=0.4, application/json;q=0.9", "application/json"),
        ("*/*, application/x-ndjson;q=0", "text/csv; charset=utf-8"),
        ("", "application/x-ndjson"),
    ],
)
def test_the_accept_header_chooses(site, client, accept, kind):
    job = site.runtime.jobs.add(*ROWS)
    answer = client.get(f"/v1/jobs/{job.id}/results", headers={"Accept": accept})
    assert answer.headers["content-type"] == kind


def test_the_format_parameter_beats_the_header(site, client):
    job = site.runtime.jobs.add(*ROWS)
    answer = client.get(f"/v1/jobs/{job.id}/results?format=mot", headers={"Accept": "text/csv"})
    assert answer.text.startswith("1,1,")


def test_an_accept_header_that_wants_something_else_is_refused_with_what_there_is(site, client):
    job = site.runtime.jobs.add(*ROWS)
    answer = client.get(f"/v1/jobs/{job.id}/results", headers={"Accept": "image/png"})
    assert "text/csv" in assert_problem(answer, 406, "not_acceptable")["hint"]


def test_an_unknown_format_is_refused(site, client):
    assert_problem(read(client, site.runtime.jobs.add(), format="xml"), 422, "fields_invalid")


@pytest.mark.parametrize("form", ["csv", "coco", "mot"])
def test_classes_cannot_be_said_in_formats_of_objects(site, client, form):
    job = site.runtime.jobs.add(a_class_row(0))
    assert_problem(read(client, job, format=form), 406, "format_not_possible")
    assert read(client, job).status_code == 200


def test_what_a_model_will_say_is_known_before_the_first_row(site, client):
    models = site.runtime.models
    models.models = [model.model_copy(update={"task": Task.CLASSIFY}) for model in models.models]
    assert_problem(read(client, site.runtime.jobs.add(), format="csv"), 406, "format_not_possible")


def test_mot_wants_tracks(site, client):
    job = site.runtime.jobs.add(*ROWS, analysis=Analysis(track=False))
    assert_problem(read(client, job, format="mot"), 406, "format_not_possible")
    assert read(client, job, format="csv").status_code == 200
