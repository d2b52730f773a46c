import subprocess
import sys
import tempfile

import pytest

from server.runtime.processes.folders import DataFolderInUse, DataFolderUnusable, is_locked, locked, sockets_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_data_folder_has_one_server(tmp_path):
    with locked(tmp_path / "data"), pytest.raises(DataFolderInUse), locked(tmp_path / "data"):
        pass
    with locked(tmp_path / "data"):
        pass


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_data_folder_that_cannot_be_made_says_what_to_do(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderUnusable, match="cannot be made") as caught, locked(tmp_path / place):
        pass
    assert "--data" in caught.value.hint


def test_whether_a_server_works_on_a_data_folder_can_be_asked_and_takes_nothing_from_it(tmp_path):
    assert not is_locked(tmp_path / "data")
    assert not (tmp_path / "data").exists()
    with locked(tmp_path / "data"):
        assert is_locked(tmp_path / "data")
    assert not is_locked(tmp_path / "data")


def test_a_sockets_folder_is_gone_afterwards(temporary):
    with sockets_folder() as folder:
        assert folder.is_dir()
        with sockets_folder() as another:
            assert folder.is_dir()
            assert another != folder
    assert list(temporary.iterdir()) == []


def test_what_a_killed_server_left_is_removed_and_nobodys_data_is(temporary):
    (temporary / "vidserve-sockets-mine").mkdir()
    data = temporary / "vidserve-sockets-mine" / "thesis.txt"
    data.write_text("years of work")
    enter = "from server.runtime.processes.folders import sockets_folder; folder = sockets_folder(); folder.__enter__()"
    subprocess.run([sys.executable, "-c", f"{enter}; import os; os._exit(9)"], check=False)
    left = [path for path in temporary.iterdir() if path != data.parent]
    assert len(left) == 1
    with sockets_folder():
        assert not left[0].exists()
        assert data.read_text() == "years of work"
