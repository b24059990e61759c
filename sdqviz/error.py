"""The one kind of error a person can mend: a sentence that says the name, the need and what was given."""

from typing import Any


class InputError(ValueError):
    """Something given to sdqviz cannot be used; the message says what to change, in one sentence.

    Pages show the message beside the form; everything else that is raised is a defect of ours.

    Parameters
    ----------
    message : str
        The sentence.
    **remedy
        Fields of the form with values that would do, where they are known: a page moves its controls there.
    """

    def __init__(self, message: str, **remedy: Any) -> None:
        super().__init__(message)
        self.remedy: dict[str, Any] = remedy


class Stopped(Exception):
    """A long run was cancelled through ``should_stop``; nothing that was given has been changed."""
