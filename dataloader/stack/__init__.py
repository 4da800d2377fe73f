"""The stack planner over the matrix axes."""

from dataloader.stack.model import AXES, CPU, FrameworkBuild, Reason, Stack, StackRequest

__all__ = ["AXES", "CPU", "FrameworkBuild", "Reason", "Stack", "StackRequest", "iter_stacks", "plan_document"]

from dataloader.stack.document import plan_document
from dataloader.stack.planner import iter_stacks
