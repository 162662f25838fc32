"""Errors an operator can meet. Each names the thing, its value, the rule and the way out.

Rule    programmer errors are assertions; what an operator can cause is one of these, and the command
        line prints its text without a traceback and exits with `exit_code`.
"""


class EmuError(Exception):
    """Base of every error that the command line words for the user."""

    exit_code = 2


class ConfigError(EmuError):
    """A scenario file (or an option) that breaks a rule."""


class HostError(EmuError):
    """The host lacks something the scenario needs: cores, memory, a privilege, a system call."""


class LayoutError(EmuError):
    """A segment whose layout is not the one this program was built for."""


class ResultError(EmuError):
    """A result file that cannot be read: wrong version, truncated, not ours."""


class FaultError(EmuError):
    """The emulation stopped itself: an invariant was broken while it ran."""

    exit_code = 1
