"""Enrolment is the only answer with texts: each of them in its narrow form."""

from __future__ import annotations

import re
from dataclasses import fields

from client.egress.form import Form, Forms
from client.egress.passed import TEXT
from common.machine import MACHINE
from common.messages import EnrolAnswer
from common.study import Study
from common.versions import PACKAGES

_VERSION = r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,39}"
_COUNT = Form("int")


def enrol_forms(study: Study) -> Forms:
    """Give the forms of the fields of `EnrolAnswer`: names and hashes that are known beforehand.

    The versions are JSON as the stage writes it: all of `common.versions.PACKAGES` and Python, in
    the order of the alphabet.
    """
    names = "|".join(re.escape(site.name) for site in study.sites)
    known = {
        "site": Form(TEXT, pattern=names),
        "fingerprint": Form(TEXT, pattern=study.fingerprint),
        "recipe": Form(TEXT, pattern="[0-9a-f]{16}"),
        "self_test": Form(TEXT, pattern="[0-9a-f]{16}"),
        "versions": Form(TEXT, pattern=_versions()),
        "positive": _COUNT,
        "negative": _COUNT,
        "slices": _COUNT,
        "session_key": Form(TEXT, pattern="([0-9a-f]{64})?"),
        "signature": Form(TEXT, pattern="([0-9a-f]{128})?"),
        "machine": Form(TEXT, pattern=MACHINE),
    }
    # A field that the message gains later is not listed, and so does not leave.
    return {item.name: known[item.name] for item in fields(EnrolAnswer) if item.name in known}


def _versions() -> str:
    each = (rf'"{re.escape(name)}": "{_VERSION}"' for name in sorted((*PACKAGES, "python")))
    return r"\{" + ", ".join(each) + r"\}"
