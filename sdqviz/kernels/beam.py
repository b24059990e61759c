"""The kernel of a walk that keeps several paths for each vector instead of one."""

import numba
import numpy as np


@numba.njit(parallel=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def beam_block(base, earlier, feedback, pivots, start, half_levels, step, alive, cost, error, ancestor):  # type: ignore[no-untyped-def]
    """Walk one block of steps with up to P paths a vector, keeping those of least Σ D_t(v_t − q_t)².

    Shapes: base (N, M); earlier (B, M, P), the feedback of the errors before the block; feedback (N, N), read below
    the diagonal; pivots (N,); step, alive (M,), alive the number of paths a vector has so far; cost (M, P), error
    (B, M, P) and ancestor (M, P), which path each one was at the start of the block, are filled in.

    Each path tries the two midrise levels nearest to v, 2·``half_levels`` levels in all.
    """
    count, vectors, width = earlier.shape
    for row in numba.prange(vectors):
        size = step[row]
        divisor = size if size > 0 else 1.0
        paths = alive[row]
        errors, moved = np.zeros((count, width)), np.zeros((count, width))
        origin, moved_origin = np.arange(width), np.arange(width)
        values, total = np.empty(width), np.empty(width)
        costs, misses = np.empty(2 * width), np.empty(2 * width)
        for n in range(count):
            t = start + n
            for p in range(paths):
                total[p] = earlier[n, row, origin[p]]
            for s in range(n):
                factor = feedback[t, start + s]
                for p in range(paths):
                    total[p] += factor * errors[s, p]
            for p in range(paths):
                v = base[t, row] + total[p]
                values[p] = v
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
            order = np.argsort(costs[: 2 * paths])
            kept = 0
            while kept < min(width, 2 * paths) and costs[order[kept]] < np.inf:
                kept += 1
            for p in range(kept):
                chosen = order[p]
                parent = chosen - paths if chosen >= paths else chosen
                cost[row, p] = costs[chosen]
                moved_origin[p] = origin[parent]
                for s in range(n):
                    moved[s, p] = errors[s, parent]
                # e = y − q and v = y + feedback, so y − q = (v − q) − feedback
                moved[n, p] = misses[chosen] - total[parent]
            errors, moved = moved, errors
            origin, moved_origin = moved_origin, origin
            paths = kept
        alive[row] = paths
        for p in range(width):
            ancestor[row, p] = origin[p] if p < paths else 0
            for n in range(count):
                error[n, row, p] = errors[n, p] if p < paths else 0.0
