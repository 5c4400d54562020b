"""What every test has."""

import signal
import sys

from services.shared import logs

# Whoever starts the tests in a shell's background has Ctrl-C ignored by them and by all that they
# start. Some of that is to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)

# As in a service: without it, structlog's default prints the locals of every failure. Not to what
# pytest captures, which is another stream for every test.
logs.configure("INFO", sys.__stderr__)
