from __future__ import annotations

from pathlib import Path

import pytest

from server.commands.videos import NoVideo, find_videos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.MKV", "notes.txt", "deep/a.avi", "odd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def names(*words: str | Path) -> list[str]:
    return [given.name for given in find_videos([str(word) for word in words])]


def test_a_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    assert names(folder / "odd", folder / "notes.txt") == ["odd", "notes"]


def test_a_folder_means_its_videos_sorted_also_deep_ones(folder: Path) -> None:
    assert names(folder) == ["a", "b", "a-2"]


def test_a_glob_means_the_videos_that_match(folder: Path) -> None:
    assert names(f"{folder}/*") == ["a", "b"]
    assert names(f"{folder}/**/*.avi") == ["a"]


def test_a_video_is_taken_once(folder: Path) -> None:
    assert names(folder / "a.mp4", folder / "deep" / ".." / "a.mp4", f"{folder}/a.*") == ["a"]


def test_urls_have_the_name_of_their_file() -> None:
    given = find_videos(["https://example.com/x/street.mp4?token=1", "http://example.com"])
    assert [one.name for one in given] == ["street", "example"]
    assert given[0].path is None
    assert given[0].url == "https://example.com/x/street.mp4?token=1"


@pytest.mark.parametrize("word", ["nowhere.mp4", "*.mp4", "empty"])
def test_a_word_that_means_no_video_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoVideo, match="means no video"):
        find_videos([word])
