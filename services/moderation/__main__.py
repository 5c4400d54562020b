from services.moderation.wiring import SERVICE
from services.shared.process import run

run(SERVICE)
