"""The one exception that means "the user's input is wrong"; it knows nothing else."""


class InputError(ValueError):
    """Bad input from a user: the message is one line that says what is wrong and what to do.

    The command line prints it and exits with 2, the server answers 422; anything else is a defect of ours.
    """
