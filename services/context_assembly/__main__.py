from services.context_assembly.wiring import SERVICE
from services.shared.process import run

run(SERVICE)
