"""Frames: one family a file, each a choice whose ``build(seed)`` gives a `sdqviz.frames.frame.Frame`."""

from sdqviz.frames.frame import FrameChoice
from sdqviz.registry import Registry

FRAMES: Registry[FrameChoice] = Registry("sdqviz.frames", "frame")
