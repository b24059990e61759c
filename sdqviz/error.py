"""The one kind of error a person can mend: a sentence that says the name, the need and what was given."""


class InputError(ValueError):
    """Something given to sdqviz cannot be used; the message says what to change, in one sentence.

    Pages show the message beside the form; everything else that is raised is a defect of ours.
    """


class Stopped(Exception):
    """A long run was cancelled through ``should_stop``; nothing that was given has been changed."""
