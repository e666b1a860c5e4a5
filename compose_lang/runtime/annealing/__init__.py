"""Sampling along levels of noise: populations of particles that are moved, weighed and resampled level by level."""
