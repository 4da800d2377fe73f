"""Exceptions of followed code: which class a value stands for, and who takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataloader.verify.follow.values import ClassValue, Instance, Raised, Unknown


class Suppress:
    """``contextlib.suppress``."""

    def __init__(self, kinds: Sequence[Any]) -> None:
        self.kinds = kinds


def exception_of(value: Any) -> type[BaseException] | None:
    """The exception class that a value is, is made of or derives from."""
    if isinstance(value, Raised):
        return value.kind
    if isinstance(value, type) and issubclass(value, BaseException):
        return value
    if isinstance(value, Instance):
        return exception_of(value.of)
    if isinstance(value, ClassValue):
        return next((found for base in value.bases if (found := exception_of(base))), None)
    return None


def catches(wanted: Any, kind: type[BaseException]) -> bool:
    """Whether ``except wanted`` takes an exception of a class; what is not known takes all."""
    if isinstance(wanted, Unknown):
        return True
    return isinstance(wanted, type) and issubclass(kind, wanted)
