"""ΣΔ quantization: the recursion, what it leaves behind, and plain rounding (PCM) beside it."""
