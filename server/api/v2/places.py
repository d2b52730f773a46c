"""The model that a path below /v2 names."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Path

from model_export.errors import ModelNotFound
from model_export.manifest import VERSION_PATTERN, parse_reference
from server.api.deps import Reference

_HINT = "POST /v2/repository/index lists those there are."


async def _versioned(
    name: Reference, version: Annotated[str, Path(description="1, 2, 3 …", examples=["1"], max_length=32)]
) -> str:
    plain, said = parse_reference(name)
    if re.fullmatch(VERSION_PATTERN, version) is None:
        raise ModelNotFound(f"There is no version {version!r} of {plain!r}.", hint=_HINT)
    if said is not None and said != int(version):
        raise ModelNotFound(f"{name!r} is not version {version}.", hint=_HINT)
    return f"{plain}@{version}"


Version = Annotated[str, Depends(_versioned)]
"""`name@version`, from both parts of the path."""
