"""Cameras for tests and benchmarks: a real RTSP server that sends encoded pictures, and cameras that misbehave.

    with RtspServer({"gate": moving_square()}) as cameras:
        look_at(cameras.url("gate"))

| module | |
| --- | --- |
| `material` | what a camera shows, encoded beforehand |
| `numbers` | pictures that carry their own number, and the model that reads it |
| `rtsp` | the RTSP server: GStreamer's, as a child process under the system's own Python |
| `web` | cameras over HTTP: MJPEG, HLS, a page that is none |
| `wicked` | what accepts and says nothing, or says nonsense |
| `proxy` | what lies between a camera and the server: holds bytes back, stalls, cuts |

`python -m tests.cameras VIDEO …` serves videos as cameras until Ctrl-C.
"""
