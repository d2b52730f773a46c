"""The rules of tests/conftest.py about tests that do not run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = (Path(__file__).parent / "conftest.py").read_text()
SETTINGS = """
[pytest]
markers =
    gpu: needs a GPU
    data: needs data
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A test suite with our conftest and a test of each kind."""
    pytester.makeconftest(CONFTEST)
    pytester.makeini(SETTINGS)
    pytester.makepyfile(
        """
        import pytest

        def test_runs(): ...

        @pytest.mark.skip(reason="by mark")
        def test_marked(): ...

        def test_gives_up():
            pytest.skip("inside")

        def test_wants_data(shared_data): ...

        @pytest.mark.xfail
        def test_is_known_to_fail():
            raise AssertionError

        @pytest.mark.gpu
        def test_on_gpu(): ...
        """
    )
    pytester.makepyfile(test_absent="import pytest\npytest.importorskip('no_such_module')\n")
    return pytester


def outcomes(suite: pytest.Pytester, *options: str) -> dict[str, int]:
    return suite.runpytest_subprocess("-p", "no:cacheprovider", *options).parseoutcomes()


def test_what_cannot_run_is_skipped(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDSERVE_TEST_STRICT", raising=False)
    monkeypatch.setenv("VIDSERVE_TEST_DATA", "/nowhere")
    assert outcomes(suite) == {"passed": 1, "skipped": 4, "xfailed": 1, "deselected": 1}


def test_what_cannot_run_fails_where_all_must_run(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSERVE_TEST_STRICT", "1")
    monkeypatch.setenv("VIDSERVE_TEST_DATA", "/nowhere")
    assert outcomes(suite, "--continue-on-collection-errors") == {
        "passed": 1,
        "failed": 1,
        "errors": 3,
        "xfailed": 1,
        "deselected": 1,
    }


def test_tests_on_a_gpu_run_when_asked_for(suite: pytest.Pytester) -> None:
    assert outcomes(suite, "-m", "gpu", "--ignore=test_absent.py") == {"passed": 1, "deselected": 5}
