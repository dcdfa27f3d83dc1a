"""Trained networks applied to rows and codes: prediction, sampling, calibration."""

SAMPLERS = ("class", "aggregate", "prior")
