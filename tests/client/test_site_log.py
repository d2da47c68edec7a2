"""A site's log lies in its folder, whichever folders of that name a process has seen before."""

import logging

from client.site_log import log_to


def test_another_folder_of_the_same_site_gets_its_own_log(tmp_path):
    for name in ("first", "second"):
        log_to(tmp_path / name, "bergamo-log")
        log_to(tmp_path / name, "bergamo-log")
        logging.getLogger("myofed.site.bergamo-log").info("here is %s", name)

    first, second = ((tmp_path / name).read_text("utf-8") for name in ("first", "second"))

    assert first.count("\n") == 1
    assert first.endswith("here is first\n")
    assert second.count("\n") == 1
    assert second.endswith("here is second\n")
