"""Reads a model's tokenizer with transformers; run as a script, in a process of its own.

Choosing the right class is transformers' business, and vLLM leaves it there too. But where torch
is installed, transformers imports it for that: seconds and hundreds of megabytes that end here.
Writes JSON to standard output: `tokenizer` as the `tokenizers` library keeps it, `special_tokens`
by the names that templates know, and `chat_template`, one or several by name.
"""

import json
import sys


def main(source: str) -> None:
    # transformers takes torch for absent.
    sys.modules["torch"] = None  # type: ignore[assignment]
    from transformers import AutoTokenizer  # noqa: PLC0415 - torch had to be hidden first

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, mistral_format=False)
    except (OSError, ValueError) as error:
        sys.exit(" ".join(str(error).split()))
    if not tokenizer.is_fast:
        sys.exit("it has no tokenizer.json")
    written = {
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "special_tokens": tokenizer.special_tokens_map,
        "chat_template": tokenizer.chat_template,
    }
    json.dump(written, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
