"""The branch of the error tree that is about who calls.

AccessError                    who calls may not
├── KeyMissing
├── KeyWrong
├── TicketExpired
├── TicketInvalid          altered, of an earlier run, or for something else
├── CrossSite              a page of another site makes a browser call
└── HostRefused            a name that is not the machine's own
"""

from __future__ import annotations

from model_export.errors import VidserveError


class AccessError(VidserveError):
    """Who calls may not."""

    code = "access_error"


class KeyMissing(AccessError):
    """The call wants a key and shows none."""

    code = "key_missing"


class KeyWrong(AccessError):
    """The key is not this server's."""

    code = "key_wrong"


class TicketExpired(AccessError):
    """The ticket was good until a while ago."""

    code = "ticket_expired"


class TicketInvalid(AccessError):
    """The ticket was altered, is of an earlier run of the server, or for something else."""

    code = "ticket_invalid"


class CrossSite(AccessError):
    """A page of another site makes a browser call a server that asks nobody for a key."""

    code = "cross_site"


class HostRefused(AccessError):
    """A server that asks nobody for a key was called by a name that is not its own machine's."""

    code = "host_refused"
