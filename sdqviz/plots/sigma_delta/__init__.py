"""The plots of the ΣΔ Lab."""
