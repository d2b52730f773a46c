"""What tests set up around a part of the server, and take down again."""

import contextlib


def benches(kind, folder):
    """For a fixture: makes benches of a kind, closed at the end."""
    with contextlib.ExitStack() as stack:

        def making(**options):
            made = kind(folder, **options)
            stack.callback(made.close)
            return made

        yield making
