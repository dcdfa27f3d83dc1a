"""The latent map in the browser, and its HTTP API."""
