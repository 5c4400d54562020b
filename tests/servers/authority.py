"""A private authority, and the certificates that it signs for servers of the tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

_DAY = timedelta(days=1)
KEYSTORE_PASSWORD = "keystore"


@dataclass(frozen=True, slots=True)
class Certified:
    """A server's files."""

    certificate: Path
    key: Path
    # The same two in the form that Java reads.
    keystore: Path


class Authority:
    """Its own certificate is `ca.crt` in the folder, where all that it signs is kept too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"authority in {folder.name}"[:64])
        begun = self._begun(self._name, self._key.public_key())
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        own = begun.add_extension(constraint, critical=True).add_extension(usage, critical=False)
        self.certificate = folder / "ca.crt"
        self._own = own.sign(self._key, hashes.SHA256())
        self.certificate.write_bytes(self._own.public_bytes(Encoding.PEM))

    def certify(self, *names: str) -> Certified:
        """A server that is called by these names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        begun = self._begun(_named(names[0]), key.public_key())
        extended = begun.add_extension(_alternatives(names), critical=False)
        signed = extended.sign(self._key, hashes.SHA256())
        files = Certified(*(self._folder / f"{names[0]}.{kind}" for kind in ("crt", "key", "p12")))
        files.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files.key.write_bytes(plain)
        secret = BestAvailableEncryption(KEYSTORE_PASSWORD.encode())
        stored = pkcs12.serialize_key_and_certificates(b"server", key, signed, [self._own], secret)
        files.keystore.write_bytes(stored)
        return files

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - _DAY,
            not_valid_after=now + _DAY,
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
            for name in names
        ]
    )
