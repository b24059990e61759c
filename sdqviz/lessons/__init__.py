"""Lessons: one a file, each a question, a guess, and a reveal that the engine computes."""

from sdqviz.lessons.lesson import Lesson
from sdqviz.registry import Registry

LESSONS: Registry[Lesson] = Registry("sdqviz.lessons", "lesson")
