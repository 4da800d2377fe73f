"""The stack planner over the matrix axes."""

from dataloader.stack.model import AXES, CPU, FrameworkBuild, Reason, Stack, StackRequest

__all__ = ["AXES", "CPU", "FrameworkBuild", "Reason", "Stack", "StackRequest"]
