"""Where a state goes round: what a node gives comes to it again in a later frame. There, rounding would add up."""

from __future__ import annotations

from collections.abc import Mapping

import onnx


def in_loops(model: onnx.ModelProto, carried: Mapping[str, str]) -> frozenset[str]:
    """The names of the nodes whose results come back to them by a state.

    Args:
        model: every node has a name.
        carried: state output → state input.
    """
    if not carried:
        return frozenset()
    followers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            followers.setdefault(name, []).append(node)
    return frozenset(node.name for node in model.graph.node if node.name in _reached(node, followers, carried))


def _reached(
    start: onnx.NodeProto, followers: Mapping[str, list[onnx.NodeProto]], carried: Mapping[str, str]
) -> set[str]:
    """The nodes that a node's results come to, in this frame or a later one."""
    names: set[str] = set()
    seen: set[str] = set()
    ahead = list(start.output)
    while ahead:
        tensor = ahead.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        if tensor in carried:
            ahead.append(carried[tensor])
        for follower in followers.get(tensor, ()):
            names.add(follower.name)
            ahead += follower.output
    return names
