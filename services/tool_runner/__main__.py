from services.shared.process import main
from services.tool_runner.wiring import SERVICE

main(SERVICE)
