import sys
from pathlib import Path

import pytest
import torch

# Builders that several test modules of this folder share.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Nets of tests are so small that threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run of one of `shape_runs.NETS`, trained once for all tests."""
    from shape_runs import recipe

    from training.data.loading import load_data
    from training.fit import fit

    folder, made = tmp_path_factory.mktemp("runs"), {}

    def of(kind: str):
        if kind not in made:
            wanted = recipe(kind, folder / "cache")
            fit(wanted, folder / kind, lambda recipe, place: load_data(recipe.data, place))
            made[kind] = folder / kind
        return made[kind]

    return of


@pytest.fixture(scope="session")
def bundle(run, tmp_path_factory):
    """What a run became, exported once for all tests."""
    from model_export.repository import Repository
    from training.export.bundling import export_run

    folder, made = tmp_path_factory.mktemp("models"), {}

    def of(kind: str):
        if kind not in made:
            made[kind] = export_run(run(kind), Repository(folder))
        return made[kind]

    return of
