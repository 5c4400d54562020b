from services.memory.wiring import SERVICE
from services.shared.process import main

main(SERVICE)
