"""Export to ONNX, and a runtime without torch."""
