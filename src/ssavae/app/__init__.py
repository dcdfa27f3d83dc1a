"""The application: run folders, experiments, the explorer and the command line."""
