import pytest
from fakes import assert_problem

from server.api.tickets import Tickets
from server.core.access_errors import TicketExpired, TicketInvalid


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tickets(clock):
    return Tickets(clock)


@pytest.mark.parametrize("path", ["/v1/streams", "/v1/streams/a/preview.mjpg", "/v1/streams/a b/ws"])
def test_a_ticket_opens_its_path_and_all_below_it(tickets, path):
    tickets.check(tickets.issue("/v1/streams", 60).text, path)
    tickets.check(tickets.issue("/v1/streams/", 60).text, path if path != "/v1/streams" else "/v1/streams/")
    tickets.check(tickets.issue("/", 60).text, path)


@pytest.mark.parametrize("path", ["/v1", "/v1/jobs", "/v1/streams2", "/v1/stream", "/metrics"])
def test_a_ticket_opens_nothing_else(tickets, path):
    with pytest.raises(TicketInvalid, match="is for /v1/streams and not for"):
        tickets.check(tickets.issue("/v1/streams", 60).text, path)


def test_a_ticket_is_good_until_it_expires(tickets, clock):
    ticket = tickets.issue("/v1", 60)
    assert ticket.expires_at == clock.now + 60
    clock.now += 59.9
    tickets.check(ticket.text, "/v1")
    clock.now += 0.1
    with pytest.raises(TicketExpired):
        tickets.check(ticket.text, "/v1")


def altered(text):
    """Every ticket that differs in one character."""
    return [text[:at] + ("A" if letter != "A" else "B") + text[at + 1 :] for at, letter in enumerate(text)]


def test_an_altered_ticket_is_none(tickets):
    for text in ["", ".", "..", "a.b.c", "ü", *altered(tickets.issue("/v1", 60).text)]:
        with pytest.raises(TicketInvalid):
            tickets.check(text, "/v1")


def test_a_ticket_of_another_run_is_none(tickets, clock):
    with pytest.raises(TicketInvalid):
        tickets.check(Tickets(clock).issue("/v1", 60).text, "/v1")


def test_a_ticket_is_had_over_http(client):
    made = client.post("/v1/tickets")
    assert made.status_code == 201
    assert set(made.json()) == {"ticket", "path", "expires_at"}
    assert made.json()["path"] == "/v1"
    made = client.post("/v1/tickets", json={"path": "/v1/streams/a", "seconds": 3600}).json()
    assert made["path"] == "/v1/streams/a"


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"path": "v1"}, "path"),
        ({"path": "/v1/jobs?x=1"}, "path"),
        ({"path": "/v1/jobs#x"}, "path"),
        ({"path": "/v1\n"}, "path"),
        ({"path": "/" + "a" * 600}, "path"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 3601}, "seconds"),
        ({"second": 1}, "second"),
    ],
)
def test_a_wish_that_cannot_be_met_says_why(client, wish, field):
    problem = assert_problem(client.post("/v1/tickets", json=wish), 422, "fields_invalid")
    assert problem["errors"][0]["field"] == field


def test_a_wish_that_is_not_json_is_told(client):
    assert_problem(client.post("/v1/tickets", content=b"{"), 400, "body_invalid")
    assert_problem(client.post("/v1/tickets", content=b" " * 5000), 413, "upload_too_large")
