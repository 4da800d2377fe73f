"""The stack planner over the axes of the matrix."""
