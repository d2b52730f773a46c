import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from model_export.errors import VidserveError
from server.core.errors import JobNotFound, KeyConflict, StorageFull, UploadTooLarge
from server.core.statuses import STATUS, status_of

ROOT = Path(__file__).parents[2]


def codes_in_the_source() -> list[str]:
    """The `code` of every class of the error tree that a request can meet: not those of the command line."""
    folders = [ROOT / "model_export", *(path for path in (ROOT / "server").iterdir() if path.name != "commands")]
    files = [path for folder in folders for path in folder.rglob("*.py") if path.name != "configuration.py"]
    return [code for path in files for code in re.findall(r'^    code(?:: \S+)? = "(\w+)"', path.read_text(), re.M)]


def test_every_code_has_a_status():
    assert set(codes_in_the_source()) <= set(STATUS)


def test_no_code_stands_for_two_errors():
    assert [code for code, times in Counter(codes_in_the_source()).items() if times > 1] == []


@pytest.mark.parametrize(
    ("error", "status"), [(JobNotFound, 404), (KeyConflict, 409), (UploadTooLarge, 413), (StorageFull, 507)]
)
def test_an_error_has_the_status_of_its_code(error, status):
    assert status_of(error("It is so.")) == status


def test_an_error_without_an_entry_has_the_status_of_its_ancestor():
    class Lost(JobNotFound):
        code = "lost_somewhere"

    class Strange(VidserveError):
        code = "strange"

    assert (status_of(Lost("Lost.")), status_of(Strange("Strange."))) == (404, 500)


def test_the_documented_status_of_a_code_is_its_status():
    said = {}
    for line in (ROOT / "docs" / "api.md").read_text().splitlines():
        if found := re.match(r"\| (\d{3}) \| (.*) \|$", line):
            said |= {code: int(found[1]) for code in re.findall(r"`([a-z]+_[a-z_]+)`", found[2])}
    assert said
    # What routing and readiness say is no error of the tree.
    ours = set(said) - {"not_found", "method_not_allowed", "not_ready"}
    assert {code: said[code] for code in ours} == {code: STATUS.get(code) for code in ours}


def errors_that_are_answered(kind: type[VidserveError] = VidserveError) -> set[str]:
    """The codes of errors that stand for nothing narrower, as far as the API process raises them."""
    narrower = [one for one in kind.__subclasses__() if one.__module__.startswith(("server.", "model_export."))]
    if narrower:
        return set().union(*map(errors_that_are_answered, narrower))
    answers = kind.__module__.startswith(("server.core.errors", "server.core.access_errors", "server.runtime."))
    return {kind.code} if answers else set()


def test_every_code_of_the_api_is_documented():
    importlib.import_module("server.app")
    documented = "".join((ROOT / "docs" / name).read_text() for name in ("api.md", "v2.md"))
    # With these a server does not come to answer.
    unheard = {"database_newer", "data_folder_in_use", "data_folder_unusable", "process_down"}
    assert {code for code in errors_that_are_answered() - unheard if f"`{code}`" not in documented} == set()
