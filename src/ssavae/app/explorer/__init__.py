"""The latent map in the browser, and its HTTP API."""

from ssavae._checks import require_package

for package in ("fastapi", "uvicorn"):
    require_package(package, "explore", "the explorer")
