"""What a walk may do with a value, as the small numbers compiled code branches on."""

from __future__ import annotations

SHRINK_NONE, SHRINK_RANDOM, SHRINK_SOFT, SHRINK_HARD = range(4)
"""What a walk does with small values: nothing, ±c or 0 at random, move all towards 0, set to 0."""

ROUND_NONE, ROUND_NEAREST, ROUND_RANDOM = range(3)
"""How a walk goes to a level."""
