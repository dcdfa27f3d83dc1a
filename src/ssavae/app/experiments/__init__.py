"""The paper's figures and sweeps over parameters."""
