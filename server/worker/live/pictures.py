"""Pictures of decoded frames, as everything behind the decoder takes them: the same pixels that OpenCV makes."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from server.worker.source import Frame


class Pictures:
    """Makes one after the other, for one thread."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def of(self, image: VideoFrame, turned: int = 0) -> Frame | None:
        """uint8 [H, W, 3] BGR; None if it cannot be made.

        Args:
            turned: quarter turns against the clock to set it upright.
        """
        try:
            made = self._reformatter.reformat(image, format="bgr24", threads=1)
        except (ValueError, OSError, MemoryError):  # FFmpeg's errors are of these kinds
            return None
        plane = made.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8, plane.line_size * made.height).reshape(
            made.height, plane.line_size
        )
        picture = rows[:, : made.width * 3].reshape(made.height, made.width, 3)
        return np.ascontiguousarray(np.rot90(picture, turned)) if turned else picture
