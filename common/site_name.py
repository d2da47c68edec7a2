"""What a site may be called: the same in a study, on a site's folder and on its key."""

from __future__ import annotations

import re

SITE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
