"""What has to do with the user's shell, and with programs that start others: activation, completion, kernels."""
