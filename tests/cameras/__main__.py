"""`python -m tests.cameras VIDEO …`: videos as RTSP cameras, in a loop, until Ctrl-C. `--port`, `--fps`, `--login`."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from pathlib import Path

import av.error

from tests.cameras.material import Material, filmed
from tests.cameras.rtsp import Credentials, RtspServer, missing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cameras", description="Videos as RTSP cameras.")
    parser.add_argument("videos", nargs="+", type=_video, metavar="VIDEO")
    parser.add_argument("--port", type=_free_port, default="8554", help="to listen at; 8554 if left out")
    parser.add_argument("--fps", type=float, default=10, help="pictures a second that they send; 10 if left out")
    parser.add_argument("--login", type=_credentials, metavar="NAME:PASSWORD", help="that the cameras ask for")
    options = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    shows = {video.stem: _prepared(video, options.fps, parser) for video in options.videos}
    secret = frozenset(shows) if options.login else frozenset()
    with RtspServer(shows, port=options.port, secret=secret, credentials=options.login) as cameras:
        for name in shows:
            print(cameras.url(name), flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


def _prepared(video: Path, fps: float, parser: argparse.ArgumentParser) -> Material:
    print(f"preparing {video} …", file=sys.stderr, flush=True)
    try:
        return filmed(video, fps=fps)
    except (av.error.FFmpegError, OSError, IndexError, AssertionError) as error:
        parser.error(f"{video} is no video that can be read ({type(error).__name__})")


def _video(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def _free_port(text: str) -> int:
    port = int(text)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            raise argparse.ArgumentTypeError(f"port {port} is taken, or cannot be one; choose another") from None
    return port


def _credentials(text: str) -> Credentials:
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise argparse.ArgumentTypeError("write NAME:PASSWORD")
    return Credentials(name, password)


if __name__ == "__main__":
    main()
