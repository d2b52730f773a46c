"""Splitting by group."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_builders import listing
from hypothesis import given
from hypothesis import strategies as st

from training.data.listing import Listing, Sample, Split
from training.data.splitting import SplitConfig, read_split, split, write_split
from training.errors import SplitInvalid

TRAIN, VAL, TEST = Split.TRAIN, Split.VALIDATION, Split.TEST


def sources(count: int = 30, seed: int = 0) -> Listing:
    """Groups of one to nine samples of two classes, mixed."""
    random = np.random.default_rng(seed)
    classes, groups = "", ""
    for group in range(count):
        size = int(random.integers(1, 10))
        classes += "".join(random.choice(["a", "b"], size, p=[0.3, 0.7]))
        groups += chr(0x4E00 + group) * size
    return listing(classes, groups)


@given(seed=st.integers(0, 2**63 - 1), stratify=st.booleans())
def test_no_group_is_torn_apart(seed: int, stratify: bool) -> None:
    data = sources()
    splits = split(data, SplitConfig(seed=seed, stratify=stratify))
    of_group: dict[str, set[Split]] = {}
    for sample, one in zip(data.samples, splits, strict=True):
        of_group.setdefault(sample.group, set()).add(one)
    assert all(len(found) == 1 for found in of_group.values())


@pytest.mark.parametrize("seed", range(5))
def test_parts_have_their_size_and_classes_their_share(seed: int) -> None:
    data = sources(60, seed)
    splits = np.array(split(data, SplitConfig(val=0.2, test=0.2, seed=seed)))
    whole = (data.targets == 0).mean()
    for part, share in ((TRAIN, 0.6), (VAL, 0.2), (TEST, 0.2)):
        here = splits == part
        assert here.mean() == pytest.approx(share, abs=0.05)
        assert (data.targets[here] == 0).mean() == pytest.approx(whole, abs=0.07)


def test_samples_without_groups_are_dealt_out_by_class() -> None:
    data = listing("a" * 900 + "b" * 100)
    counted = Counter(zip(data.targets.tolist(), split(data, SplitConfig(val=0.1, test=0.2)), strict=True))
    assert counted[0, VAL] == pytest.approx(90, abs=3)
    assert counted[1, VAL] == pytest.approx(10, abs=2)
    assert counted[1, TEST] == pytest.approx(20, abs=3)


def test_another_seed_splits_otherwise_and_the_same_one_alike() -> None:
    data = sources()
    assert split(data, SplitConfig(seed=1)) == split(data, SplitConfig(seed=1))
    assert split(data, SplitConfig(seed=1)) != split(data, SplitConfig(seed=2))


def test_every_sample_is_tested_in_exactly_one_fold() -> None:
    data = sources()
    folds = [split(data, SplitConfig(folds=5, fold=fold)) for fold in range(5)]
    tested = [[one[at] for one in folds].count(TEST) for at in range(len(data))]
    assert tested == [1] * len(data)
    assert all(VAL in fold and TRAIN in fold for fold in folds)


def test_given_lists_are_kept_and_validation_is_cut_from_those_to_train_with() -> None:
    data = listing("abababababababab", splits=[None] * 12 + [TEST] * 4)
    splits = split(data, SplitConfig(val=0.25))
    assert splits[12:] == [TEST] * 4
    assert Counter(splits[:12])[VAL] == pytest.approx(3, abs=1)
    whole = listing("abababab", splits=[TRAIN] * 4 + [VAL] * 2 + [TEST] * 2)
    assert split(whole, SplitConfig()) == [TRAIN] * 4 + [VAL] * 2 + [TEST] * 2


def test_given_lists_may_be_left_aside() -> None:
    data = listing("ab" * 20, splits=[TEST] * 40)
    assert TRAIN in split(data, SplitConfig(given=False))


def test_a_group_in_two_given_lists_is_refused() -> None:
    with pytest.raises(SplitInvalid, match="group 'x' is in the given lists for train and for test"):
        split(listing("abab", "xyxy", [TRAIN, TRAIN, TEST, TRAIN]), SplitConfig())


def test_fewer_groups_than_parts_are_refused() -> None:
    with pytest.raises(SplitInvalid, match="There are 2 groups to be split into 3 parts"):
        split(listing("abab", "xyxy"), SplitConfig())


def test_a_class_whose_groups_are_all_elsewhere_is_named() -> None:
    data = listing("aaab", "wxyz", [TRAIN, TRAIN, VAL, TEST])
    with pytest.raises(SplitInvalid, match="No sample of the class 'b' would be trained with"):
        split(data, SplitConfig())


def test_parts_that_leave_nothing_are_refused() -> None:
    with pytest.raises(SplitInvalid, match="leave nothing to train with"):
        split(sources(), SplitConfig(val=0.5, test=0.5))


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(SplitInvalid, match="There is no fold 5 of 5"):
        split(sources(), SplitConfig(folds=5, fold=5))


@pytest.mark.parametrize("kind", ["multi_label", "numbers"])
def test_labels_and_numbers_are_split_as_well(kind) -> None:
    random = np.random.default_rng(0)
    values = random.random(100) if kind == "numbers" else random.integers(0, 2, 100)
    samples = tuple(Sample(str(at), Path("x"), (float(one),), str(at // 2)) for at, one in enumerate(values))
    splits = np.array(split(Listing(samples, ("only",), kind), SplitConfig(val=0.2, test=0.2)))
    assert values[splits == VAL].mean() == pytest.approx(values.mean(), abs=0.1)


def test_a_split_is_written_and_read_again(tmp_path: Path) -> None:
    data = sources()
    splits = split(data, SplitConfig())
    write_split(tmp_path / "split.csv", data, splits)
    assert read_split(tmp_path / "split.csv", data) == splits
    assert split(data, SplitConfig(file=tmp_path / "split.csv", seed=99)) == splits
    assert (tmp_path / "split.csv").read_text().startswith("sample,target,group,split\n0000,")


def test_samples_that_came_or_went_since_are_told(tmp_path: Path) -> None:
    write_split(tmp_path / "split.csv", listing("abab"), [TRAIN, TRAIN, VAL, TEST])
    with pytest.raises(SplitInvalid, match=r"2 samples are new since .* such as '0004'"):
        read_split(tmp_path / "split.csv", listing("ababab"))
    with pytest.raises(SplitInvalid, match=r"1 samples are gone since .* such as '0003'"):
        read_split(tmp_path / "split.csv", listing("aba"))


def test_a_file_that_is_no_split_is_told(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SplitInvalid, match="is no list of splits"):
        read_split(tmp_path / "split.csv", listing("abab"))
    with pytest.raises(SplitInvalid, match="cannot be read"):
        read_split(tmp_path / "nowhere.csv", listing("abab"))
