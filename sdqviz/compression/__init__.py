"""Compress a network, measure what that did, state what is promised, save, load and export."""
