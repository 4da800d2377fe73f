"""Environments on their way to many machines: images, manifests of Kubernetes, resources of controllers."""
