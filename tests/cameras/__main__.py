"""`python -m tests.cameras VIDEO …`: videos as RTSP cameras, in a loop, until Ctrl-C. `--port`, `--fps`, `--login`."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from tests.cameras.material import filmed
from tests.cameras.rtsp import Credentials, RtspServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cameras", description="Videos as RTSP cameras.")
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--login", metavar="NAME:PASSWORD", help="that the cameras ask for")
    options = parser.parse_args()
    shows = {video.stem: filmed(video, fps=options.fps) for video in options.videos}
    credentials = Credentials(*options.login.split(":", 1)) if options.login else None
    secret = frozenset(shows) if credentials else frozenset()
    with RtspServer(shows, port=options.port, secret=secret, credentials=credentials) as cameras:
        for name in shows:
            print(cameras.url(name), flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
