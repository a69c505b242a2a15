"""Errors that a user can act on: their message is one line that quotes the value and says what would be right."""

from __future__ import annotations


class CapbenchError(Exception):
    """Base of all errors raised on purpose."""


class UsageError(CapbenchError):
    """An option, task or configuration that cannot work, found before anything is computed."""


class MethodError(CapbenchError):
    """The user's fine-tuning method could not be loaded, failed, or returned something unusable."""
