"""What bounds are drawn for: one subject a file, each a choice that measures and bounds one point of a sweep."""

from sdqviz.explore.curves.point import Subject
from sdqviz.registry import Registry

SUBJECTS: Registry[Subject] = Registry("sdqviz.explore.curves", "subject")
