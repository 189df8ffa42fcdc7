"""What to do when TLS does not come about, told beside what OpenSSL and gRPC say of it."""

from __future__ import annotations

# What the words of either end with, lower-case, in their order: the first that is found explains the failure.
_ADVICE = (
    (("wrong version number", "wrong_version_number"), "that port speaks no TLS; --listen-tls is the one that does"),
    (
        ("alert certificate required", "alert_certificate_required"),
        "the limiter asks for a certificate of this client, and was shown none: give it one",
    ),
    (("alert certificate expired", "alert_certificate_expired"), "this client's certificate has expired: renew it"),
    (
        ("alert unknown ca", "alert_unknown_ca"),
        "the limiter does not know who signed this client's certificate: see its --tls-client-ca",
    ),
    (
        ("alert handshake failure", "alert_handshake_failure", "alert bad certificate", "alert_bad_certificate"),
        "the limiter refuses this client, as a rule for the names of its certificate: see --tls-client-names, and the"
        " limiter's log for the reason",
    ),
    (
        ("alert unsupported certificate", "alert_unsupported_certificate"),
        "this client's certificate is not for clients (extended key usage)",
    ),
    (
        ("tsi_data_corrupted",),  # all that gRPC says of an alert that comes when it thought that hands were shaken
        "as a rule the limiter refuses this client's certificate, or that it shows none: the limiter's log says why",
    ),
    (("certificate has expired",), "the limiter's certificate has expired: renew it, see its --tls-cert"),
    (
        ("hostname mismatch", "ip address mismatch", "not in peer certificate", "hostname verification check failed"),
        "the limiter's certificate bears other names: ask it by one of those",
    ),
    (
        ("certificate verify failed", "certificate_verify_failed"),
        "this client does not trust who signed the limiter's certificate: give it that authority's",
    ),
)


def advised(said: str) -> str:
    """The words, and what to do about them when they are of TLS and known."""
    words = said.lower()
    for known, advice in _ADVICE:
        if any(word in words for word in known):
            return f"{said} ({advice})"
    return said
