"""libcurl's error codes, in our words: what an exchange that broke off is called, and whether its request had left.

not sent:  connect · tls · timeout · proxy · local
sent:      reset · incomplete · timeout · protocol · headers_too_large · local
"""

from __future__ import annotations

import dataclasses
import errno
import os
import ssl

import pycurl

from crawler import descriptors
from crawler.engines.http1 import Fault, broken_fault, connect_fault, late_fault, proxy_fault, refusal
from crawler.exchange import Exchange
from crawler.shortage import MEMORY, no_descriptor, plain

_TOO_LARGE = 100  # CURLE_TOO_LARGE, which pycurl has no name for
_STREAM = 92  # CURLE_HTTP2_STREAM, likewise
_NO_DESCRIPTORS = 3  # with as few left, a failure without a number of its own is theirs
_ON_THEIR_WAY = frozenset({errno.EAGAIN, errno.EINPROGRESS})
_NOT_HTTP = frozenset(
    {
        pycurl.E_UNSUPPORTED_PROTOCOL,
        pycurl.E_FTP_WEIRD_SERVER_REPLY,
        pycurl.E_BAD_CONTENT_ENCODING,  # of a Transfer-Encoding
        pycurl.E_HTTP2,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Breakage:
    """How an attempt ended: libcurl's code and message, and how far it had come.

    `connected` is TCP's word, `tunnelled` the proxy's (whose `answer` was 200), `sent` is that the request left.
    """

    code: int
    message: str
    number: int
    connected: bool
    tunnelled: bool
    sent: bool
    answer: int

    @classmethod
    def of(cls, curl: pycurl.Curl, exchange: Exchange, code: int, message: str) -> Breakage:
        """Ask the handle that it happened to."""
        tls = exchange.url.startswith("https:")
        answer = curl.getinfo(pycurl.HTTP_CONNECTCODE) if exchange.proxy is not None and tls else 0
        tunnelled = exchange.proxy is None or not tls or (answer == 200 and "CONNECT" not in message)
        fresh = curl.getinfo(pycurl.NUM_CONNECTS) > 0
        # What is sent to a proxy for a tunnel counts in it, too.
        met = not tls or not fresh or curl.getinfo(pycurl.APPCONNECT_TIME_T) > 0
        number = curl.getinfo(pycurl.OS_ERRNO)
        return cls(
            code,
            message,
            0 if number in _ON_THEIR_WAY else number,
            connected=curl.getinfo(pycurl.CONNECT_TIME_T) > 0,
            tunnelled=tunnelled,
            sent=met and curl.getinfo(pycurl.REQUEST_SIZE) > 0,
            answer=answer,
        )

    @property
    def may_pass_elsewhere(self) -> bool:
        """Whether another address of the same host may do better: this one was not even connected."""
        return not self.connected and self.code in (pycurl.E_COULDNT_CONNECT, pycurl.E_OPERATION_TIMEDOUT)

    def fault(self, exchange: Exchange, address: str, *, in_body: bool) -> Fault:
        """What to call it."""
        if self.code == pycurl.E_OUT_OF_MEMORY:
            return "local", MEMORY
        if self.sent:
            return self._broken(exchange, in_body=in_body)
        if self.answer not in (0, 200):
            return refusal(self.answer)
        fault = self._unconnected(exchange, address)
        return proxy_fault(fault) if exchange.proxy is not None and not self._past_proxy(exchange) else fault

    def _past_proxy(self, exchange: Exchange) -> bool:
        return self.tunnelled and exchange.url.startswith("https:")

    def _unconnected(self, exchange: Exchange, address: str) -> Fault:
        if self.code == pycurl.E_OPERATION_TIMEDOUT:
            return "timeout", "connect timed out"
        if self.code == pycurl.E_URL_MALFORMAT:  # nobody's connection, and no better the next time
            return "protocol", f"libcurl does not take this URL: {self.message}"
        if self.number:
            tls = self.connected and exchange.url.startswith("https:")
            return connect_fault(plain(OSError(self.number, os.strerror(self.number)), address), tls=tls)
        if not self.connected:
            # libcurl has no word for a socket that it could not open.
            lacking = descriptors.left() < _NO_DESCRIPTORS
            return ("local", no_descriptor()) if lacking else ("connect", self.message or "no connection")
        if self.code == pycurl.E_PEER_FAILED_VERIFICATION:
            return "tls", f"certificate refused: {_reason(self.message)}"
        if self.code == pycurl.E_SSL_CACERT_BADFILE:
            return "tls", "the trusted certificates of this machine cannot be read"
        if self.code == pycurl.E_SSL_CONNECT_ERROR and "::" in self.message:
            return "tls", f"handshake failed: {_reason(self.message)}"
        return connect_fault(ssl.SSLError(), tls=True) if self.tunnelled else ("connect", "connection closed")

    def _broken(self, exchange: Exchange, *, in_body: bool) -> Fault:
        if self.code == pycurl.E_OPERATION_TIMEDOUT:
            return late_fault(exchange, stalled=False)
        if self.code == pycurl.E_WRITE_ERROR:  # libcurl could not hand the bytes over
            return "local", MEMORY
        if self.code == _TOO_LARGE or "Too large" in self.message:
            return "headers_too_large", "a line or a head that is too large"
        if self.code in _NOT_HTTP or (self.code == pycurl.E_RECV_ERROR and "chunk" in self.message):
            return "protocol", self.message or "not HTTP"
        error = OSError(self.number, os.strerror(self.number)) if self.number else OSError()
        return broken_fault(error, in_body=in_body)


def _reason(message: str) -> str:
    """The end of OpenSSL's story: `SSL certificate OpenSSL verify result: self-signed certificate (18)`."""
    return message.rpartition(":")[2].strip() or message
