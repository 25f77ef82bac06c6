"""Serving: the HTTP front door, the Litestar application, and the processes that run them."""
