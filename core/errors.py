"""The errors of the whole platform: what happened, what was expected, what was received, what to do.

`NasturtiumError` is the root. A leaf also inherits the builtin a Python programmer would expect, and exists only where
a caller would catch it separately. `cli` turns these into two lines on stderr; anything else is a bug and keeps its
traceback.
"""


class NasturtiumError(Exception):
    """The root of our errors: a message and, where there is one, a hint that says what to do.

    Args:
        message: what happened, what was expected, what was received.
        hint: one thing the caller can do about it, without a full stop at the end.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.where: str | None = None  # the user's line, for errors raised deep inside an op

    def __str__(self) -> str:
        message = super().__str__()
        if self.where:
            message = f"{message}, at {self.where}"
        return f"{message} (hint: {self.hint})" if self.hint else message

    @property
    def message(self) -> str:
        """The message without the hint."""
        return super().__str__()


class ConfigError(NasturtiumError, ValueError):
    """The caller asked for something that cannot be: an argument out of range, an unknown name, a missing column."""


class ShapeError(NasturtiumError, ValueError):
    """Shapes that do not fit each other."""


class BoundsError(ShapeError, IndexError):
    """An axis or an index that does not exist."""


class DTypeError(NasturtiumError, TypeError):
    """A dtype that an operation does not take."""


class DeviceError(NasturtiumError, RuntimeError):
    """A device that is not there, or arrays on different devices."""


class PeerError(DeviceError):
    """A process of a parallel group failed, left or did not answer; `rank` says which one.

    Args:
        message: what happened, what was expected, what was received.
        rank: the process at fault, in [0, size).
        hint: one thing the caller can do about it.
    """

    def __init__(self, message: str, *, rank: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rank = rank


class GradientError(NasturtiumError, RuntimeError):
    """A gradient that was asked for where there is none."""


class TraceError(NasturtiumError, RuntimeError):
    """A function that cannot be compiled: what it does next depends on values that are not known while it is traced."""


class CompileError(NasturtiumError, RuntimeError):
    """The compiler went wrong, or its back end is not there."""


class NumericsError(NasturtiumError, ArithmeticError):
    """A NaN or an infinity was born while `check_numerics` watched."""


class DataError(NasturtiumError, ValueError):
    """Data that cannot be used: not numeric, not finite, too few rows, one class only."""


class FormatError(NasturtiumError, ValueError):
    """A file or document of ours that is damaged, foreign, or of a version we do not know."""


class MissingExtraError(NasturtiumError, ImportError):
    """An optional dependency is not installed; `extra` names what to install.

    Args:
        feature: what was asked for, as in "device cuda:0".
        extra: the name in `pip install "nasturtium[extra]"`.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency", hint=f'pip install "nasturtium[{extra}]"')
        self.extra = extra
