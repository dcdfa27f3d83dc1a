"""Run folders: train, evaluate, draw, export and publish a run."""
