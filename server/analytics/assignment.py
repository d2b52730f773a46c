"""Who is who: the pairs of rows and columns that together are most similar."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


def best_pairs(similarity: F64, least: float) -> tuple[Index, Index]:
    """Pair rows with columns, each at most once, so that the sum of their similarities is the greatest.

    Args:
        similarity: [N, M], 0 or more.
        least: pairs below it are none.

    Returns:
        Rows, ascending, and their columns.
    """
    possible = similarity >= least
    rows, columns = possible.nonzero()
    if len(set(rows.tolist())) == len(rows) == len(set(columns.tolist())):
        return rows, columns
    rows, columns = np.flatnonzero(possible.any(axis=1)), np.flatnonzero(possible.any(axis=0))
    gain = np.where(possible, similarity, 0.0)[np.ix_(rows, columns)]
    if len(rows) <= len(columns):
        chosen = _cheapest(-gain)
        pairs = np.stack([rows, columns[chosen]])
    else:
        chosen = _cheapest(-gain.T)
        order = np.argsort(chosen)
        pairs = np.stack([rows[chosen[order]], columns[order]])
    pairs = pairs[:, possible[pairs[0], pairs[1]]]
    return pairs[0], pairs[1]


def _cheapest(cost: F64) -> Index:
    """The column of each row, all different, of least total cost; [N, M] with N ≤ M.

    Shortest augmenting paths (Kuhn 1955; Jonker and Volgenant 1987), a row at a time.
    """
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1, np.intp)
    for row in range(rows):
        distance = np.full(columns, np.inf)
        before = np.full(columns, -1, np.intp)
        done = np.zeros(columns, np.bool_)
        at, via, reached = row, -1, 0.0
        while True:
            step = reached + cost[at] - row_price[at] - column_price
            shorter = ~done & (step < distance)
            distance[shorter] = step[shorter]
            before[shorter] = via
            via = int(np.where(done, np.inf, distance).argmin())
            reached = float(distance[via])
            done[via] = True
            at = int(owner[via])
            if at < 0:
                break
        closed = done.copy()
        closed[via] = False
        row_price[owner[closed]] += reached - distance[closed]
        row_price[row] += reached
        column_price[closed] -= reached - distance[closed]
        while via >= 0:
            previous = int(before[via])
            owner[via] = row if previous < 0 else owner[previous]
            via = previous
    result = np.empty(rows, np.intp)
    taken = owner >= 0
    result[owner[taken]] = taken.nonzero()[0]
    return result
