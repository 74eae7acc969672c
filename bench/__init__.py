"""Benches: performance as ratios side by side, and the figures that the harness must reach. See `make bench`."""
