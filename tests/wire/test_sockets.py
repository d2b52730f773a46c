import pytest
import zmq

from server.wire.errors import WireError
from server.wire.messages import Cancel, FrameRef, Heartbeat, Infer, InferDone, Priority, TensorMeta
from server.wire.sockets import Dealer, Router, decode, encode, make_header


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


@pytest.fixture
def pair(context, tmp_path):
    address = f"ipc://{tmp_path}/s"
    router = Router(context, address, "engine", 7)
    dealer = Dealer(context, address, "worker-0", 3)
    yield router, dealer
    dealer.close()
    router.close()


def test_a_message_arrives_with_its_payload_and_who_sent_it(pair):
    router, dealer = pair
    ref = FrameRef("shm", "vidserve.x", 3, 12, (416, 416, 3), "uint8")
    sent = Infer("job-1", 5, "yolox-nano@1", ref, Priority.JOB, deadline=1.5)
    dealer.send(sent, [b"abc", memoryview(b"de")])
    received = router.recv(2)
    assert received.message == sent
    assert received.payload == [b"abc", b"de"]
    assert (received.header.sender, received.header.incarnation) == ("worker-0", 3)
    answer = InferDone("job-1", 5, (TensorMeta("scores", "float32", (3,)),), queue_s=0.5)
    assert router.send(received.peer, answer, [b"x" * 12])
    back = dealer.recv(2)
    assert back.message == answer
    assert back.header.incarnation == 7


def test_messages_that_travel_together_arrive_one_by_one_each_with_its_own_payload(pair):
    router, dealer = pair
    parcels = [(Cancel("a"), [b"1", b"2"]), (Cancel("b"), ()), (Cancel("c"), [b"3"])]
    dealer.send_together(parcels)
    received = [router.recv(2)]
    while router.has_mail:
        received.append(router.recv(0))
    assert [(one.message, tuple(one.payload)) for one in received] == [(m, tuple(payload)) for m, payload in parcels]
    assert router.send_together(received[0].peer, parcels[1:])
    assert [dealer.recv(2).message.stream, dealer.recv(0).message.stream] == ["b", "c"]
    assert not dealer.has_mail


def test_sending_to_somebody_who_is_not_there_says_so(pair):
    router, _ = pair
    assert not router.send(b"nobody", Heartbeat())


def test_waiting_ends_at_the_timeout(pair):
    assert pair[0].recv(0.01) is None


def test_a_process_that_came_back_takes_its_name_over(pair, context, tmp_path):
    router, dealer = pair
    dealer.send(Heartbeat())
    router.recv(2)
    again = Dealer(context, f"ipc://{tmp_path}/s", "worker-0", 4)
    again.send(Heartbeat())
    assert router.recv(2).header.incarnation == 4
    router.send(b"worker-0", Cancel("x"))
    assert again.recv(2).message == Cancel("x")
    again.close()


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xc1", b""],
        [make_header("w", 1)],
        [make_header("w", 1), b"\x93\x01\x02\x03"],
        [b"\x93\x63\xa1w\x01", encode(b"", [(Heartbeat(), ())])[1]],
    ],
    ids=["no header", "no body", "not a message", "another protocol"],
)
def test_what_is_not_ours_is_an_error(frames):
    with pytest.raises(WireError):
        decode(frames)
