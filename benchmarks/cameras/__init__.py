"""What live streams cost and how they hold, with the cameras of `tests.cameras`; a part of the benchmark each module.

The cameras send encoded pictures and encode nothing, but they and what listens run on the same machine as the server.
"""
