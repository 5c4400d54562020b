from services.gateway.wiring import SERVICE
from services.shared.process import main

main(SERVICE)
