from services.context_assembly.wiring import SERVICE
from services.shared.process import main

main(SERVICE)
