"""Environments on their way to other machines: bundles, exports, images, manifests, resources of controllers."""
