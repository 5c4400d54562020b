"""What every test has."""

import sys

from services.shared import logs

# As in a service: without it, structlog's default prints the locals of every failure. Not to what
# pytest captures, which is another stream for every test.
logs.configure("INFO", sys.__stderr__)
