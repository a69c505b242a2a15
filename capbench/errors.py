"""Errors that a user can act on: the message is one line that quotes the value and says what would be right."""

from __future__ import annotations


class CapbenchError(Exception):
    """Base of all errors that capbench raises on purpose."""


class UsageError(CapbenchError):
    """An impossible option, task or configuration, found before anything is computed."""


class MethodError(CapbenchError):
    """The user's fine-tuning method could not be loaded, failed, or returned something unusable."""


class NoTestsError(CapbenchError):
    """No test was collected."""


class NoAnswerError(CapbenchError):
    """A model's logits are NaN, so that no token is the most likely one."""
