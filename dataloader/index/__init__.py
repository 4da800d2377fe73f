"""The network: what indexes have, METADATA of wheels, downloads. ``client`` is its face."""
