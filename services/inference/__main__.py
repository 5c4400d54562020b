from services.inference.wiring import SERVICE
from services.shared.process import run

run(SERVICE)
