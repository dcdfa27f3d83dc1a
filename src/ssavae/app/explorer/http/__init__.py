"""The explorer's side of HTTP: connections, bodies, requests in flight."""
