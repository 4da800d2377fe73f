"""What an environment on disk is; reads only."""
