"""Everything between the API and the processes that decode and infer."""

from server.runtime.runtime import Runtime

__all__ = ["Runtime"]
