"""Certificates for servers and clients on the loopback, from an authority that nobody else trusts."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files of PEM."""

    authority: Path
    server: Path
    """Certificate and key for 127.0.0.1 and localhost."""
    server_certificate: Path
    server_key: Path
    client: Path
    """Certificate and key."""

    def server_context(self, *, asks_client: bool = False) -> ssl.SSLContext:
        """Return what a server speaks TLS with."""
        context = server_context(self.server)
        if asks_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        return context


def server_context(certificate: Path) -> ssl.SSLContext:
    """
    Return what a server speaks TLS with.

    :param certificate: with its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def make_certificates(folder: Path) -> Certificates:
    """Write an authority's certificate, and a server's and a client's that it has signed."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _signed("Loopback authority", authority_key, authority_key, is_authority=True)
    made = {"authority": _write(folder / "authority.pem", _pem(authority))}
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(name, key, authority_key, issuer=authority.subject)
        made[name] = _write(folder / f"{name}.pem", _pem(certificate) + _key_pem(key))
        if name == "server":
            made["server_certificate"] = _write(folder / "server-certificate.pem", _pem(certificate))
            made["server_key"] = _write(folder / "server-key.pem", _key_pem(key))
    return Certificates(**made)


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Name | None = None,
    is_authority: bool = False,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
