from services.shared.process import main
from services.tokenizer.wiring import SERVICE

main(SERVICE)
