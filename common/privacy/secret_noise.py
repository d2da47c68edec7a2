"""Noise that only the site can know, and that is the same each time the same thing is asked.

A run must be repeatable, and a question that is asked again must get the same answer, else two
answers average the noise away. A seed from the study will not do: the coordinator knows it. Nor
will a generator like torch's or NumPy's: torch seeds its Mersenne Twister with 32 bits, which can
be tried one by one, and its state follows from its output. So the noise is a ChaCha20 stream whose
key is derived (HKDF, RFC 5869) from a secret of the site and a digest of all that the answer
depends on, the patients' data too. Another question, other patients or another version of the
software get other noise.
"""

from __future__ import annotations

import hashlib

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from common.errors import MyoFedError
from common.secure_sum.framing import framed

Floats = NDArray[np.float64]

SECRET_BYTES = 32
KEY_BYTES, NONCE_BYTES = 32, 16
GRID_BITS = 16
_PURPOSE = b"myofed private noise 1"


class SecretTooShort(MyoFedError):
    """The secret of a site could be guessed."""

    code = "secret-too-short"
    public = "The site's secret for private answers cannot be used."


class SecretNoise:
    """A stream of random numbers for one use, from a secret and what it is for.

    Parameters
    ----------
    secret
        At least 32 random bytes that never leave the site.
    purpose
        Which of several streams, for example ``b"noise"``.
    subject
        A digest of all that the answer depends on: see `digest_of`.

    Raises
    ------
    SecretTooShort
        The secret has fewer bytes.
    """

    def __init__(self, secret: bytes, purpose: bytes, subject: bytes) -> None:
        drawn = _derived(secret, framed(purpose, subject), KEY_BYTES + NONCE_BYTES)
        cipher = Cipher(ChaCha20(drawn[:KEY_BYTES], drawn[KEY_BYTES:]), mode=None)
        self._stream = cipher.encryptor()

    def uniforms(self, count: int) -> Floats:
        """Draw (count,) numbers in [0, 1), multiples of 2^-53."""
        return (self._words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normals(self, count: int) -> Floats:
        """Draw (count,) standard normal numbers.

        By inversion of the distribution function, of 63 bits and a sign: the tails reach 9.1
        standard deviations.
        """
        from scipy.special import ndtri

        words = self._words(count)
        share = ((words >> np.uint64(1)).astype(np.float64) + 0.5) * 2.0**-64
        sign = np.where((words & np.uint64(1)).astype(np.bool_), 1.0, -1.0)
        return np.asarray(sign * ndtri(share), dtype=np.float64)

    def added_to(self, values: NDArray[np.floating], scale: float) -> Floats:
        """Return `values` plus normal noise of standard deviation `scale`, on a grid.

        The sum is taken in float64 and rounded to a multiple of about `scale` / 2^16. Without that
        the low bits of a sum of floats tell which noise it can have been (Mironov, CCS 2012).
        """
        exact = np.asarray(values, dtype=np.float64)
        if scale == 0.0:
            return exact.copy()
        noise = self.normals(exact.size).reshape(exact.shape)
        grid = 2.0 ** (np.floor(np.log2(scale)) - GRID_BITS)
        return np.asarray(np.rint((exact + scale * noise) / grid) * grid, dtype=np.float64)

    def _words(self, count: int) -> NDArray[np.uint64]:
        return np.frombuffer(self._stream.update(bytes(8 * count)), "<u8").astype(np.uint64)


def digest_of(*parts: bytes | str | NDArray[np.generic]) -> bytes:
    """Give a digest (SHA-256) of texts, bytes and arrays; of arrays the shape and dtype too."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head = f"{part.dtype.str}{part.shape}".encode()
            body: bytes = np.ascontiguousarray(part).tobytes()
        else:
            head, body = b"", part.encode() if isinstance(part, str) else part
        digest.update(framed(head, body))
    return digest.digest()


def name_of(secret: bytes, subject: bytes) -> str:
    """Name an answer for the ledger (32 hex digits): the same only for the very same answer.

    It tells nothing of the data to whom the secret is unknown.
    """
    return _derived(secret, framed(b"name", subject), 16).hex()


def _derived(secret: bytes, what: bytes, count: int) -> bytes:
    if len(secret) < SECRET_BYTES:
        raise SecretTooShort(
            f"The secret has {len(secret)} bytes; at least {SECRET_BYTES} are needed.",
            "Remove the file and let the site make a new one.",
        )
    return HKDF(SHA256(), count, salt=None, info=_PURPOSE + what).derive(secret)
