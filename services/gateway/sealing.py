"""Text that callers keep for us and give back: they can neither read nor change it.

A sealed text is, in URL-safe base64 without padding: one byte for the form, 16 random bytes (the
salt), and the text under AES-256-GCM. Key and nonce are derived from the gateway's secret, the
organisation, the kind of text and the salt with HKDF. So each text has a key of its own, and a seal
of one organisation or kind is broken for every other.

The secret is the one under which API keys are hashed. Who replaces it breaks all seals.
"""

import base64
import binascii
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_FORM = b"\x01"
_SALT_BYTES = 16
_KEY_BYTES = 32
_NONCE_BYTES = 12
_PURPOSE = b"chatmesh sealed text"


class BrokenSeal(Exception):
    """Not sealed here, or not for this organisation and kind, or changed since."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals texts for one organisation; any gateway with the same secret opens them."""

    secret: bytes = field(repr=False)
    organisation: str

    def seal(self, kind: str, text: str) -> str:
        """Another result each time, also for the same text. `text` may hold whatever UTF-8 can."""
        salt = secrets.token_bytes(_SALT_BYTES)
        cipher, nonce = self._cipher(kind, salt)
        sealed = _FORM + salt + cipher.encrypt(nonce, text.encode(), None)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, kind: str, sealed: str) -> str:
        """The text that was sealed. Raises `BrokenSeal`."""
        bare = _bytes(sealed)
        end = len(_FORM) + _SALT_BYTES
        if not bare.startswith(_FORM) or len(bare) < end:
            raise BrokenSeal
        cipher, nonce = self._cipher(kind, bare[len(_FORM) : end])
        try:
            return cipher.decrypt(nonce, bare[end:], None).decode()
        except InvalidTag:
            raise BrokenSeal from None

    def _cipher(self, kind: str, salt: bytes) -> tuple[AESGCM, bytes]:
        """The key that seals one text, and its nonce."""
        # The first name has its length before it, so that no two pairs of names are written alike.
        organisation = self.organisation.encode()
        names = len(organisation).to_bytes(4, "big") + organisation + kind.encode()
        derive = HKDF(SHA256(), _KEY_BYTES + _NONCE_BYTES, salt, _PURPOSE + names)
        derived = derive.derive(self.secret)
        return AESGCM(derived[:_KEY_BYTES]), derived[_KEY_BYTES:]


def _bytes(sealed: str) -> bytes:
    """Raises `BrokenSeal` for what is no base64."""
    try:
        ascii_text = sealed.encode("ascii")
        padding = b"=" * (-len(ascii_text) % 4)
        return base64.b64decode(ascii_text + padding, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BrokenSeal from None
