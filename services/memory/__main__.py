from services.memory.wiring import SERVICE
from services.shared.process import run

run(SERVICE)
