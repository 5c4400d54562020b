from services.shared.process import run
from services.tokenizer.wiring import SERVICE

run(SERVICE)
