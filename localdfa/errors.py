"""The exceptions that localdfa raises on purpose: each carries one message meant for a person."""


class LocalDFAError(Exception):
    """Base of every error that localdfa raises on purpose; the command line prints it without a traceback."""


class SpecError(LocalDFAError):
    """An experiment cannot be run as written: a key, type, bound or combination is wrong."""


class DataError(LocalDFAError):
    """A data set is missing, damaged or not what the experiment can use."""


class RunError(LocalDFAError):
    """A run directory cannot be written, read or resumed."""


class ForkError(LocalDFAError):
    """This process cannot simulate, because it was forked from one that has."""


class NonFiniteError(LocalDFAError):
    """A weight or an activity became infinite or NaN while training.

    row: the sample's row in its mini-batch, or None where no single sample is to blame.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row
