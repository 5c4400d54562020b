"""What every test has."""

from services.shared import logs

# As in a service: without it, structlog's default prints the locals of every failure.
logs.configure("INFO")
