"""Torch modules as values: layers as matrices, data, the catalogue, training, cost."""
