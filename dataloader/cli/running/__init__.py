"""Running inside an environment: programs, tasks and scripts, brought in step first."""
