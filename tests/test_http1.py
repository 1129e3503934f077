"""What the HTTP/1.1 engines share."""

from __future__ import annotations

import errno
import ssl
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.engines.http1 import authority_and_target, brief, broken_fault, connect_fault

_URL_CHARACTERS = st.sampled_from(string.ascii_letters + string.digits + "%/?:@!$&'()*+,;=~|^.-_")


@given(st.from_regex(r"[a-z0-9.-]{1,20}(:[0-9]{1,5})?|\[[0-9a-f:]{2,20}\]", fullmatch=True), st.text(_URL_CHARACTERS))
def test_authority_and_target(authority: str, rest: str) -> None:
    """The two parts of a URL are the URL, byte for byte, whatever the target holds."""
    assert (authority, f"/{rest}") == authority_and_target(f"https://{authority}/{rest}")


@given(st.text())
def test_brief(text: str) -> None:
    """A message is at most 200 characters of printable ASCII."""
    shown = brief(text)

    assert shown.isascii()
    assert shown == "" or shown.isprintable()
    assert len(shown) <= 200


@pytest.mark.parametrize(
    ("error", "tls", "error_class"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), True, "connect"),
        (OSError(errno.EHOSTUNREACH, "x"), False, "connect"),
        (OSError(errno.ENETUNREACH, "x"), True, "connect"),
        (OSError("several things"), False, "connect"),
        (OSError(errno.EMFILE, "x"), True, "local"),
        (OSError(errno.EADDRNOTAVAIL, "x"), False, "local"),
        (OSError(errno.ENETUNREACH, "no address from which ::1 can be reached"), False, "connect"),
        (TimeoutError(), False, "timeout"),
        (TimeoutError(errno.ETIMEDOUT, "x"), True, "timeout"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), True, "tls"),
        (ssl.SSLCertVerificationError(1, "expired"), True, "tls"),
        (ConnectionResetError(errno.ECONNRESET, "x"), True, "tls"),
        (ConnectionResetError(errno.ECONNRESET, "x"), False, "connect"),
        (ConnectionResetError(), True, "tls"),
    ],
)
def test_connect_fault(error: OSError, tls: bool, error_class: str) -> None:
    """What kept a connection from being made has one class, under every engine."""
    assert error_class == connect_fault(error, tls=tls)[0]


@pytest.mark.parametrize(
    ("error", "in_body", "error_class"),
    [
        (ConnectionResetError(errno.ECONNRESET, "x"), False, "reset"),
        (ConnectionResetError(errno.ECONNRESET, "x"), True, "incomplete"),
        (ssl.SSLError(1, "DECRYPTION_FAILED"), True, "incomplete"),
        (RuntimeError("closed"), False, "reset"),
        (TimeoutError(errno.ETIMEDOUT, "x"), True, "timeout"),
        (OSError(errno.ENOBUFS, "x"), False, "local"),
        (MemoryError(), True, "local"),
    ],
)
def test_broken_fault(error: Exception, in_body: bool, error_class: str) -> None:
    """What ended a connection that stood counts by how far the answer had come."""
    assert error_class == broken_fault(error, in_body=in_body)[0]
