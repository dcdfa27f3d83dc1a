"""Named data sets and files, read as labelled data."""
