import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.wire.messages import TensorMeta
from server.wire.tensors import tensors_bytes, tensors_in

METAS = st.lists(
    st.tuples(
        st.sampled_from(["bool", "uint8", "float16", "float32", "int64"]), st.lists(st.integers(1, 5), max_size=3)
    ),
    min_size=1,
    max_size=5,
).map(lambda found: tuple(TensorMeta(f"t{n}", dtype, tuple(shape)) for n, (dtype, shape) in enumerate(found)))


@given(metas=METAS)
def test_tensors_of_a_slot_do_not_touch_each_other(metas):
    slot = np.zeros(tensors_bytes(metas), np.uint8)
    for number, tensor in enumerate(tensors_in(slot, metas).values(), 1):
        tensor.reshape(-1).view(np.uint8)[:] = number
    for number, (meta, tensor) in enumerate(zip(metas, tensors_in(slot, metas).values(), strict=True), 1):
        assert (tensor.shape, tensor.dtype) == (meta.shape, meta.dtype)
        assert set(tensor.reshape(-1).view(np.uint8).tolist()) == {number}


@given(metas=METAS)
def test_each_begins_where_a_vector_may(metas):
    slot = np.zeros(tensors_bytes(metas), np.uint8)
    start = slot.__array_interface__["data"][0]
    for tensor in tensors_in(slot, metas).values():
        assert (tensor.__array_interface__["data"][0] - start) % 64 == 0


def test_a_slot_that_is_too_small_is_noticed():
    metas = (TensorMeta("a", "float32", (2,)), TensorMeta("b", "float32", (2,)))
    with pytest.raises(ValueError, match="buffer"):
        tensors_in(np.zeros(64, np.uint8), metas)
