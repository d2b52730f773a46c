import asyncio

from server.api.event_stream import EventStream


class FakeFeed:
    """Says what it is given, and wakes when it is told to."""

    def __init__(self, *frames):
        self._queue = asyncio.Queue()
        for frame in frames:
            self._queue.put_nowait(frame)
        self.closed = 0

    async def frames(self):
        while (frame := await self._queue.get()) is not None:
            yield frame

    def end(self):
        self._queue.put_nowait(None)

    def wake(self):
        self._queue.put_nowait(b"")

    def close(self):
        self.closed += 1
        self.end()


class Connected:
    """Counts who is inside."""

    count = 0

    def __enter__(self):
        self.count += 1

    def __exit__(self, *_):
        self.count -= 1


def answered(feed_of, body, **options):
    """Run an answer; `body` is given the feed and a list of what is sent, and may make the client go."""

    async def run():
        feed, sent, gone = feed_of(), [], asyncio.Event()

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        connected = Connected()
        answer = asyncio.create_task(EventStream(feed, connected, **options)({"type": "http"}, receive, send))
        await body(feed, sent, gone)
        await asyncio.wait_for(answer, 20)
        assert feed.closed
        assert connected.count == 0
        return sent

    return asyncio.run(run())


async def until(what):
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.005)


def bodies(sent):
    return [message["body"] for message in sent if message["type"] == "http.response.body"]


def test_an_answer_ends_with_its_feed():
    async def body(feed, sent, gone):
        feed.end()

    sent = answered(lambda: FakeFeed(b"one", b"two"), body)
    assert bodies(sent) == [b"one", b"two", b""]
    assert not sent[-1].get("more_body")


def test_a_quiet_answer_says_now_and_then_that_it_is_there():
    async def body(feed, sent, gone):
        await until(lambda: bodies(sent).count(b":\n\n") >= 2)
        feed.end()

    answered(lambda: FakeFeed(b"one"), body, keep_alive_s=0.02)


def test_a_busy_answer_needs_no_keeping_alive():
    async def body(feed, sent, gone):
        feed.wake()
        feed.end()

    assert b":\n\n" not in bodies(answered(lambda: FakeFeed(b"one"), body))


def test_a_client_that_goes_ends_the_feed():
    async def body(feed, sent, gone):
        await until(lambda: bodies(sent))
        gone.set()

    answered(lambda: FakeFeed(b"one"), body)
