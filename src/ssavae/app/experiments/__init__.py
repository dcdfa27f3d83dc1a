"""The paper's figures and sweeps over parameters."""

EXPERIMENTS = ("figure7", "figure9", "cifar10")  # that `ssavae reproduce` runs
