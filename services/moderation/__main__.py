from services.moderation.wiring import SERVICE
from services.shared.process import main

main(SERVICE)
