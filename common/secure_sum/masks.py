"""Masks that hide what each of several sites says, and cancel in the sum.

Each two sites share a secret and draw the same mask from it: the one whose name comes first adds
it, the other subtracts it. Who does not know all of a site's secrets sees uniform numbers. The
scheme is that of Bonawitz et al. (CCS 2017) without their recovery of sites that drop out: those
that are left are asked again, and mask anew for each other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import MyoFedError
from common.secure_sum import FEWEST
from common.secure_sum.framing import framed
from common.secure_sum.ring import Ring, add, blocks, subtract

KEY_BYTES, NONCE_BYTES = 32, 16
_PURPOSE = b"myofed secure sum 1"


class TooFewToHide(MyoFedError):
    """The sites of a sum are too few for one to be hidden among them."""

    code = "too-few-to-hide"
    public = "A sum was asked for over fewer sites than the study allows."


def context_of(run: str, exchange: str, question: bytes, sites: Sequence[str]) -> bytes:
    """Give what a mask is bound to: the run, the place in it, the question, and who takes part.

    Parameters
    ----------
    exchange
        Names stage, fold, round and step, for example ``train.0.7``.
    question
        A digest of all that is asked.
    """
    names = (name.encode() for name in sites)
    return hashlib.sha256(framed(run.encode(), exchange.encode(), question, *names)).digest()


def mask(
    secret: bytes, context: bytes, shape: tuple[int, ...], word: type[np.generic] = np.uint32
) -> Ring:
    """Draw a mask of a shape and of such words from the secret of two sites."""
    return _next_of(_stream_of(secret, context), shape, word)


def masked(
    values: Ring, name: str, secrets: Mapping[str, bytes], context: bytes, fewest: int = FEWEST
) -> Ring:
    """Hide a site's vector (n, L) among those of its peers.

    Parameters
    ----------
    name
        Of the site.
    secrets
        What it shares with each of its peers in this sum, by their names.
    context
        See `context_of`; its sites are `name` and the peers.

    Raises
    ------
    TooFewToHide
        With its peers it makes fewer than `fewest` sites, or than three.
    """
    least = max(fewest, FEWEST)
    if len({name, *secrets}) < least:
        raise TooFewToHide(
            f"A sum over {len({name, *secrets})} sites was asked for; this study needs {least}.",
            "The coordinator must wait for more sites.",
        )
    streams = [
        (_stream_of(secrets[peer], context), add if name < peer else subtract)
        for peer in sorted(set(secrets) - {name})
    ]
    found = np.empty_like(values)
    for rows in blocks(len(values)):
        part = values[rows]
        for stream, join in streams:
            part = join(part, _next_of(stream, part.shape, values.dtype.type))
        found[rows] = part
    return found


def _stream_of(secret: bytes, context: bytes) -> CipherContext:
    """Begin the stream of random bytes that two sites share."""
    drawn = HKDF(SHA256(), KEY_BYTES + NONCE_BYTES, salt=None, info=_PURPOSE + context).derive(
        secret
    )
    return Cipher(ChaCha20(drawn[:KEY_BYTES], drawn[KEY_BYTES:]), mode=None).encryptor()


def _next_of(stream: CipherContext, shape: tuple[int, ...], word: type[np.generic]) -> Ring:
    """Draw the next words of a stream."""
    stored = np.dtype(word).newbyteorder("<")
    zeros = bytes(stored.itemsize * math.prod(shape))
    drawn = np.frombuffer(stream.update(zeros), stored)
    return drawn.astype(word, copy=False).reshape(shape)
