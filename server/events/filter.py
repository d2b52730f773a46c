"""Which news a subscriber wants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.domain.event import EVENT_TYPES, EventType
from server.events.item import Item, Kind

NAMES: tuple[str, ...] = (*Kind, *(type for type in EVENT_TYPES if type is not EventType.GAP))
"""What `types` may name: sorts of news, and types of events. A gap cannot be left out, so it need not be named."""

_TYPED = (Kind.EVENT, Kind.STATE)


@dataclass(frozen=True)
class Filter:
    """
    Attributes:
        types: kinds and types of events, any of which; None: all.
        labels: of results and events, any of which; None: all. What is not about labels passes.
    """

    types: frozenset[str] | None = None
    labels: frozenset[str] | None = None

    @classmethod
    def of(cls, types: Iterable[str] | None, labels: Iterable[str] | None) -> Filter:
        """From lists; an empty one leaves nothing out."""
        return cls(frozenset(types or ()) or None, frozenset(labels or ()) or None)

    def passes(self, item: Item) -> bool:
        if self.types is not None and not self._of_type(item):
            return False
        if self.labels is None or item.kind in (Kind.STATE, Kind.PROGRESS):
            return True
        return not self.labels.isdisjoint(item.labels)

    def passes_state(self, type: EventType) -> bool:
        """Whether changes of state of this type pass."""
        return self.types is None or not self.types.isdisjoint((Kind.STATE, type))

    def _of_type(self, item: Item) -> bool:
        assert self.types is not None
        return item.kind in self.types or (item.kind in _TYPED and item.type in self.types)


EVERYTHING = Filter()
