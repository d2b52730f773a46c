import numpy as np

from model_export.pictures import draw


def test_pictures_are_the_same_for_the_same_seed_and_differ_from_each_other() -> None:
    one, two = draw(2, 320, 240)
    again = draw(2, 320, 240)
    other = draw(1, 320, 240, seed=1)[0]

    assert one.shape == (240, 320, 3)
    assert one.dtype == np.uint8
    assert (one == again[0]).all()
    assert np.abs(one.astype(int) - two).mean() > 5
    assert np.abs(one.astype(int) - other).mean() > 5


def test_pictures_have_contrast_and_colour() -> None:
    for picture in draw(4):
        assert picture.std() > 30
        assert np.abs(picture[..., 0].astype(int) - picture[..., 2]).mean() > 3
