"""Where an entry of a net's list stands: counted from 1 as one says it, and from 0 as `key=value` writes it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list, or the whole list.

    Attributes:
        said: such as `3`, or `4.audio.1`; of the whole list nothing.
        key: the same as a key of the recipe: `net.2`, `net.3.branches.audio.0`.
        preset: it is inside of a preset, whose parts have no keys; `key` is that of the preset.
    """

    said: str = ""
    key: str = "net"
    preset: bool = False

    def __str__(self) -> str:
        return self.said

    @property
    def told(self) -> str:
        """Both, for messages."""
        return f"{self.said} ({self.key})" if self.said else self.key

    def entry(self, number: int) -> Place:
        """An entry of the list that is here; the first has number 1."""
        return self._inside(str(number), str(number - 1))

    def repeated(self, time: int) -> Place:
        """The list of a `repeat`, in one of its rounds."""
        return self._inside(str(time), "net")

    def branch(self, name: str) -> Place:
        """A list of `branches`."""
        return self._inside(name, f"branches.{name}")

    def fuse(self) -> Place:
        """What makes one of two branches."""
        return self._inside("fuse", "fuse")

    def opened(self) -> Place:
        """The list that a preset stands for."""
        return replace(self, preset=True)

    def _inside(self, said: str, key: str) -> Place:
        return Place(
            f"{self.said}.{said}" if self.said else said, self.key if self.preset else f"{self.key}.{key}", self.preset
        )
