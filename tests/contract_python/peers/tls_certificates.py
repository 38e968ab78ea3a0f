"""Both sides of `tls-certificates`."""

import logging
from datetime import datetime, timedelta, timezone

import ops
from charmlibs.interfaces.tls_certificates import (
    Certificate,
    CertificateError,
    CertificateRequestAttributes,
    CertificateRequestErrorCode,
    CertificateSigningRequest,
    KeyAlgorithm,
    PrivateKey,
    ProviderCapabilities,
    ProviderCertificate,
    ProviderCertificateError,
    TLSCertificatesProvidesV4,
    TLSCertificatesRequiresV4,
    chain_has_valid_order,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


class Warnings(logging.Handler):
    """Keeps what the library complains about."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []
        logging.getLogger("charmlibs.interfaces.tls_certificates").addHandler(self)

    def emit(self, record):
        # Its security events are JSON, and not all of them are complaints.
        if not record.getMessage().startswith("{"):
            self.texts.append(record.getMessage())


def signed_in_between(csr, issuer, key, validity):
    """A certificate as other tools make it: the library's own names the issuer of the issuer."""
    now = datetime.now(timezone.utc)
    request = x509.load_pem_x509_csr(str(csr).encode())
    builder = x509.CertificateBuilder(
        issuer_name=x509.load_pem_x509_certificate(str(issuer).encode()).subject,
        subject_name=request.subject,
        public_key=request.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + validity,
    )
    for extension in request.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signer = serialization.load_pem_private_key(str(key).encode(), None)
    return Certificate.from_string(
        builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    )


class Authority(ops.CharmBase):
    """Answers every open request with what `options["answer"]` says: `sign`, `deny` or nothing.

    Its keys are in a secret of its application, as those of a real one would be.
    """

    META = {"name": "authority", "provides": {"certificates": {"interface": "tls-certificates"}}}

    def __init__(self, framework):
        super().__init__(framework)
        capabilities = self.options.get("capabilities")
        self.certificates = TLSCertificatesProvidesV4(
            self, "certificates", capabilities and ProviderCapabilities(**capabilities)
        )
        framework.observe(self.on["certificates"].relation_changed, self._on_changed)
        self.warnings = Warnings()

    def _on_changed(self, _):
        if self.options.get("revoke"):
            self.certificates.revoke_all_certificates()
        for request in self.certificates.get_outstanding_certificate_requests():
            match self.options.get("answer"):
                case "sign":
                    self.certificates.set_relation_certificate(self._sign(request))
                case "deny":
                    self.certificates.set_relation_error(self._deny(request))

    def _sign(self, request):
        issuers = self._issuers()
        key, issuer = issuers[-1]
        csr = request.certificate_signing_request
        is_ca = self.options.get("as_authority", request.is_ca)
        days = timedelta(days=30)
        if len(issuers) == 1:
            certificate = csr.sign(issuer, key, days, is_ca)
        else:
            certificate = signed_in_between(csr, issuer, key, days)
        chain = [certificate, *(issuer for _, issuer in reversed(issuers))]
        return ProviderCertificate(request.relation_id, certificate, csr, issuer, chain)

    def _deny(self, request):
        code = CertificateRequestErrorCode[self.options["code"]]
        error = CertificateError(code=code, name=code.name.lower(), message="not here", provider="authority")
        return ProviderCertificateError(request.relation_id, request.certificate_signing_request, error)

    def _issuers(self):
        """Keys and certificates, the root first, the one that signs last."""
        try:
            content = self.model.get_secret(label="authority").get_content()
        except ops.SecretNotFoundError:
            content = self._new_issuers()
            self.app.add_secret(content, label="authority")
        names = ["root", *(["between"] if "between-key" in content else [])]
        return [
            (PrivateKey(content[f"{name}-key"]), Certificate(content[f"{name}-certificate"])) for name in names
        ]

    def _new_issuers(self):
        algorithm = KeyAlgorithm(self.options.get("algorithm", "rsa"))
        key = PrivateKey.generate(key_algorithm=algorithm, key_size=None)
        name = CertificateRequestAttributes(common_name="a root in Python", is_ca=True)
        root = Certificate.generate_self_signed_ca(name, key, timedelta(days=365))
        content = {"root-key": str(key), "root-certificate": str(root)}
        if self.options.get("between"):
            between_key = PrivateKey.generate()
            name = CertificateRequestAttributes(common_name="an authority in between", is_ca=True)
            csr = CertificateSigningRequest.generate(name, between_key)
            between = csr.sign(root, key, timedelta(days=100), is_ca=True)
            content |= {"between-key": str(between_key), "between-certificate": str(between)}
        return content

    def understood(self):
        requests = self.certificates.get_certificate_requests()
        return {
            "requests": [self._request(r.certificate_signing_request, r.is_ca) for r in requests],
            "open": len(self.certificates.get_outstanding_certificate_requests()),
            "issued": [
                {"certificate": str(c.certificate), "ordered": chain_has_valid_order([str(x) for x in c.chain])}
                for c in self.certificates.get_issued_certificates()
            ],
            "errors": [e.error.model_dump() for e in self.certificates.get_provider_certificate_errors()],
            "warnings": self.warnings.texts,
        }

    def _request(self, csr, is_ca):
        wanted = self.options.get("wanted")
        attributes = CertificateRequestAttributes.from_csr(csr, is_ca)
        return {
            "pem": str(csr),
            "common_name": csr.common_name,
            "sans_dns": sorted(csr.sans_dns or []),
            "sans_ip": sorted(csr.sans_ip or []),
            "organization": csr.organization,
            "organizational_unit": csr.organizational_unit,
            "email_address": csr.email_address,
            "country_name": csr.country_name,
            "state_or_province_name": csr.state_or_province_name,
            "locality_name": csr.locality_name,
            "unique": csr.has_unique_identifier,
            "ca": is_ca,
            "signature": csr._csr.is_signature_valid,
            "sha256": csr.get_sha256_hex(),
            "wanted": wanted and attributes == CertificateRequestAttributes(**wanted),
        }


class Requirer(ops.CharmBase):
    """Wants a certificate for `options["wanted"]`, for its unit."""

    META = {
        "name": "requirer",
        "requires": {"certificates": {"interface": "tls-certificates", "limit": 1}},
    }

    def __init__(self, framework):
        super().__init__(framework)
        self.wanted = CertificateRequestAttributes(**self.options["wanted"])
        self.certificates = TLSCertificatesRequiresV4(
            self,
            "certificates",
            [self.wanted],
            key_algorithm=self.options.get("algorithm", "rsa"),
        )
        framework.observe(self.certificates.on.certificate_available, self._on_answer)
        framework.observe(self.certificates.on.certificate_denied, self._on_answer)
        self.denied = None
        self.warnings = Warnings()

    def _on_answer(self, event):
        if hasattr(event, "error"):
            self.denied = event.error.model_dump()

    def understood(self):
        assigned, key = self.certificates.get_assigned_certificate(self.wanted)
        capabilities = self.certificates.get_provider_capabilities()
        return {
            "assigned": assigned
            and {
                "certificate": str(assigned.certificate),
                "ca": str(assigned.ca),
                "chain": [str(certificate) for certificate in assigned.chain],
                "ordered": chain_has_valid_order([str(x) for x in assigned.chain]),
                "of_the_key": assigned.certificate.matches_private_key(key),
                "of_the_request": assigned.certificate_signing_request.matches_certificate(
                    assigned.certificate
                ),
                "common_name": assigned.certificate.common_name,
                "sans_dns": sorted(assigned.certificate.sans_dns or []),
                "sans_ip": sorted(assigned.certificate.sans_ip or []),
                "is_ca": assigned.certificate.is_ca,
            },
            "asked": [
                str(r.certificate_signing_request)
                for r in self.certificates.get_csrs_from_requirer_relation_data()
            ],
            "denied": self.denied,
            "capabilities": capabilities and capabilities.model_dump(exclude_none=True),
            "warnings": self.warnings.texts,
        }
