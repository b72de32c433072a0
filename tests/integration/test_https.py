"""HTTPS trackers, with certificates made here; the command starts without TLS and loads it when needed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.endpoints import serverFromString

from functorrent.testing import ScriptedTracker, sample_info, sample_magnet
from tests.integration.harness.command import check_file, fetch
from tests.integration.harness.listening import Listening


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a host name and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest_twisted.ensureDeferred
async def test_https(
    reactor: Any, tmp_path: Path, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a certificate that is trusted it is asked; with one that is not, the report says so."""
    certificate, key = make_certificate(tmp_path, "localhost")
    info = sample_info(40_000, "over tls")
    tracker = ScriptedTracker([listening.seeder(info)])
    endpoint = serverFromString(reactor, f"ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1")
    port = await endpoint.listen(tracker.http_site())
    try:
        url = f"https://localhost:{port.getHost().port}/announce"
        refused = await fetch(reactor, tmp_path / "none", sample_magnet(info, trackers=[url]))
        assert refused.status == 1 and "certificate" in refused.results[0]["report"]["reason"], refused
        assert "internal error" not in refused.err, refused
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        fetched = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[url]))
        check_file(fetched, info)
        assert "internal error" not in fetched.err, fetched
    finally:
        await port.stopListening()
