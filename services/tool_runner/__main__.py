from services.shared.process import run
from services.tool_runner.wiring import SERVICE

run(SERVICE)
