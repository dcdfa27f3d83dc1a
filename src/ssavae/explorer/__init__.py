"""The map in the browser, and the HTTP API behind it; fastapi and uvicorn are imported here alone."""
