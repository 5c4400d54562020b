"""A script that reads a model's tokenizer with transformers, in a process of its own.

Only transformers knows which class reads which model; vLLM, too, asks it. But transformers imports
torch where it is installed, which takes seconds and hundreds of megabytes. They end with the
process.

The script writes JSON to standard output: `tokenizer` in the `tokenizers` library's format,
`special_tokens` by the names that templates use, and `chat_template`, a text or several by name.
"""

import json
import sys


def main(source: str) -> None:
    # So transformers believes that torch is not installed.
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
