"""The kernel of a walk that keeps several paths for each vector instead of one."""

import numba
import numpy as np

LANES = 4
"""Paths whose feedback is summed up together."""

FEW = 16
"""Paths up to which their successors are sorted by insertion."""


@numba.njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _sorted(costs, order, count):  # type: ignore[no-untyped-def]
    """Fill in the places of the finite ones of the first ``count`` costs, the least first; return how many."""
    found = 0
    if count > 2 * FEW:
        order[:count] = np.argsort(costs[:count])
        while found < count and costs[order[found]] < np.inf:
            found += 1
        return found
    for c in range(count):  # each is put in its place: quicker where they are few
        if costs[c] < np.inf:
            at = found
            while at > 0 and costs[order[at - 1]] > costs[c]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = c
            found += 1
    return found


@numba.njit(parallel=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def beam_block(base, earlier, feedback, pivots, start, half_levels, step, alive, cost, error, ancestor):  # type: ignore[no-untyped-def]
    """Walk one block of steps with up to P paths a vector, keeping those of least Σ D_t(v_t − q_t)².

    Shapes: base (N, M); earlier (B, M, P), the feedback of the errors before the block; feedback (N, N), read below
    the diagonal; pivots (N,); step, alive (M,), alive the number of paths a vector has so far; cost (M, P), error
    (B, M, P) and ancestor (M, P), which path each one was at the start of the block, are filled in.

    Each path tries the two midrise levels nearest to v, 2·``half_levels`` levels in all.
    """
    count, vectors, width = earlier.shape
    padded = (width + LANES - 1) // LANES * LANES
    for row in numba.prange(vectors):
        size = step[row]
        divisor = size if size > 0 else 1.0
        paths = alive[row]
        errors = np.zeros((count, padded))
        origin = np.arange(width)
        total, costs, misses = np.zeros(padded), np.empty(2 * width), np.empty(2 * width)
        order, place, first = np.empty(2 * width, np.int64), np.empty(width, np.int64), np.empty(width, np.int64)
        moved_cost, moved_origin, moved_error = np.empty(width), np.empty(width, np.int64), np.empty(width)
        for n in range(count):
            t = start + n
            for p in range(width):
                total[p] = earlier[n, row, origin[p]]
            for c in range(0, padded, LANES):  # lanes stay in registers all along the block
                a, b, d, e = total[c], total[c + 1], total[c + 2], total[c + 3]
                for s in range(n):
                    factor = feedback[t, start + s]
                    a += factor * errors[s, c]
                    b += factor * errors[s, c + 1]
                    d += factor * errors[s, c + 2]
                    e += factor * errors[s, c + 3]
                total[c], total[c + 1], total[c + 2], total[c + 3] = a, b, d, e
            for p in range(paths):
                v = base[t, row] + total[p]
                scaled = v / divisor
                level = min(max(np.floor(scaled), -half_levels), half_levels - 1)
                miss = v - (level + 0.5) * size
                misses[p] = miss
                costs[p] = cost[row, p] + pivots[t] * miss * miss
                above = scaled > level + 0.5
                other = level + 1.0 if (above and level < half_levels - 1) or level == -half_levels else level - 1.0
                miss = v - (other + 0.5) * size
                misses[paths + p] = miss
                costs[paths + p] = cost[row, p] + pivots[t] * miss * miss if size > 0 else np.inf
            kept = min(width, _sorted(costs, order, 2 * paths))
            # the first child of a path stays in its place; only a second one is copied, to where a path has ended
            first[:] = -1
            for p in range(kept):
                parent = order[p] - paths if order[p] >= paths else order[p]
                place[p] = -1
                if first[parent] < 0:
                    first[parent], place[p] = p, parent
            free = 0
            for p in range(kept):
                parent = order[p] - paths if order[p] >= paths else order[p]
                if place[p] < 0:
                    while first[free] >= 0:
                        free += 1
                    place[p], first[free] = free, p
                    for s in range(n):
                        errors[s, free] = errors[s, parent]
                moved_cost[p], moved_origin[p] = costs[order[p]], origin[parent]
                # e = y − q and v = y + feedback, so y − q = (v − q) − feedback
                moved_error[p] = misses[order[p]] - total[parent]
            for p in range(kept):
                cost[row, place[p]], origin[place[p]] = moved_cost[p], moved_origin[p]
                errors[n, place[p]] = moved_error[p]
            for p in range(paths):
                if first[p] < 0:
                    cost[row, p] = np.inf
            paths = max(paths, kept)
        alive[row] = paths
        for p in range(width):
            ancestor[row, p] = origin[p] if p < paths else 0
            for n in range(count):
                error[n, row, p] = errors[n, p] if p < paths else 0.0


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def follow(history, ancestor):  # type: ignore[no-untyped-def]
    """Give every path the errors of its ancestor, in place; history (B, M, P), ancestor (M, P)."""
    count, vectors, width = history.shape
    for row in numba.prange(vectors):
        moved = np.empty(width, np.int64)
        many = 0
        for p in range(width):
            if ancestor[row, p] != p:
                moved[many] = p
                many += 1
        kept = np.empty(width, history.dtype)
        for n in range(count):
            for k in range(many):
                kept[k] = history[n, row, ancestor[row, moved[k]]]
            for k in range(many):
                history[n, row, moved[k]] = kept[k]
