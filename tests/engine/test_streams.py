import pytest
from engine_builders import bundle, mean_graph, request, running, sum_graph

from server.engine.answers import Answered
from server.engine.loading import load
from server.engine.streams import Streams
from server.wire.messages import Cancelled, InferDone

OLD, NEW = b"worker-0.1.job-1.1", b"worker-1.1.job-1.2"
ROW = bytes(12)


class Post:
    """A router that keeps what it is to send; peers in `gone` are not there."""

    def __init__(self):
        self.sent = []
        self.letters = []
        self.gone = set()

    def send(self, peer, message, payload=()):
        return self.send_together(peer, [(message, payload)])

    def send_together(self, peer, parcels):
        if peer in self.gone:
            return False
        self.letters.append(len(parcels))
        for message, _ in parcels:
            said = message.seqs if isinstance(message, Cancelled) else message.seq
            self.sent.append((peer, type(message).__name__, said))
        return True


@pytest.fixture
def post():
    return Post()


@pytest.fixture
def model(tmp_path):
    return load("m@1", bundle(tmp_path / "m", sum_graph(), recurrent=True).folder, 0, running())


@pytest.fixture
def streams(post, model):
    return Streams(post, {"m@1": model})


def asked(streams, model, seq, peer=OLD, stream="s", **options):
    one = request(stream, seq, peer=peer, **options)
    assert streams.own(one.key, 1 if peer == OLD else 2)
    streams.expect(one)
    model.batcher.add(one)
    return one


def run(streams, model, taken):
    """A batch has run, and left its state."""
    for one in taken:
        model.states.put(one.key, [ROW])
    streams.ran(taken, model)
    for one in taken:
        streams.leave(Answered(one, InferDone(one.ask.stream, one.ask.seq)))
    streams.settle()


def test_a_cancel_is_acknowledged_after_the_answers_of_what_ran(streams, model, post):
    asked(streams, model, 1)
    taken = model.batcher.take(0.0, 1).requests
    asked(streams, model, 2)
    streams.cancel((OLD, "s"), forget=False)
    streams.settle()
    assert post.sent == []
    run(streams, model, taken)
    assert post.sent == [(OLD, "InferDone", 1), (OLD, "Cancelled", (2,))]
    assert (OLD, "s") in model.states


def test_a_cancel_that_forgets_takes_the_state_too(streams, model, post):
    asked(streams, model, 1)
    taken = model.batcher.take(0.0, 1).requests
    streams.cancel((OLD, "s"), forget=True)
    run(streams, model, taken)
    assert (OLD, "s") not in model.states


def test_a_stream_that_another_peer_asks_for_is_that_ones_alone(streams, model, post):
    model.states.put((OLD, "s"), [ROW])
    streams.own((OLD, "s"), 1)
    asked(streams, model, 1)
    asked(streams, model, 1, peer=NEW)
    assert (OLD, "s") not in model.states
    assert [one.peer for one in model.batcher.take(0.0, 1).requests] == [NEW]
    assert len(model.batcher) == 0


def test_a_peer_that_was_given_up_is_not_heard_any_more(streams, model):
    asked(streams, model, 1, peer=NEW)
    assert not streams.own((OLD, "s"), 1)
    assert [one.peer for one in model.batcher.take(0.0, 1).requests] == [NEW]


def test_what_still_ran_for_the_peer_before_leaves_no_state(streams, model, post):
    asked(streams, model, 1)
    taken = model.batcher.take(0.0, 1).requests
    post.gone.add(OLD)
    streams.own((NEW, "s"), 2)
    model.states.put((NEW, "s"), [ROW])
    run(streams, model, taken)
    assert (OLD, "s") not in model.states
    assert (NEW, "s") in model.states
    assert post.sent == []


def test_a_peer_that_is_gone_leaves_nothing(streams, model, post):
    asked(streams, model, 1)
    taken = model.batcher.take(0.0, 1).requests
    asked(streams, model, 2)
    post.gone.add(OLD)
    run(streams, model, taken)
    assert len(model.batcher) == 0
    assert (OLD, "s") not in model.states


def test_a_stream_whose_saved_state_was_refused_does_not_run_until_it_starts_over(streams):
    streams.own((OLD, "s"), 1)
    streams.refuse((OLD, "s"), "not of this model")
    assert streams.refusal(request("s", 1, peer=OLD)) == "not of this model"
    assert streams.refusal(request("s", 2, peer=OLD, reset=True)) is None
    assert streams.refusal(request("s", 3, peer=OLD)) is None


@pytest.fixture
def plain(tmp_path):
    return load("m@1", bundle(tmp_path / "m", mean_graph()).folder, 0, running(max_batch=1))


def ran(streams, plain):
    """The next request alone has run."""
    (one,) = plain.batcher.take(0.0, 1).requests
    streams.ran([one], plain)
    streams.leave(Answered(one, InferDone(one.ask.stream, one.ask.seq)))
    streams.settle()


def test_answers_leave_together_as_many_as_may_wait_for_each_other_and_the_last_at_once(plain, post):
    streams = Streams(post, {"m@1": plain})
    for seq in range(1, 8):
        asked(streams, plain, seq, together=3)
    ran(streams, plain)
    ran(streams, plain)
    assert post.letters == []
    for _ in range(5):
        ran(streams, plain)
    assert [seq for _, _, seq in post.sent] == [1, 2, 3, 4, 5, 6, 7]
    assert post.letters == [3, 3, 1]


def test_an_answer_that_waits_for_others_leaves_before_a_cancel_is_acknowledged(plain, post):
    streams = Streams(post, {"m@1": plain})
    for seq in (1, 2, 3):
        asked(streams, plain, seq, together=3)
    ran(streams, plain)
    assert post.sent == []
    streams.cancel((OLD, "s"), forget=False)
    streams.settle()
    assert post.sent == [(OLD, "InferDone", 1), (OLD, "Cancelled", (2, 3))]
