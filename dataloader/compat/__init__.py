"""The compatibility matrix: facts as data, and the rules compiled from them."""
