"""Whom an import left out is kept by fixed reasons, for the flow of patients."""

import json

from cohort_samples import Cohort
from test_cohort_importers import acdc

from client.cohort.importers import import_acdc, import_table
from client.cohort.importers.result import left_out
from client.cohort.site_folder import SITE_FILE, SiteFolder
from common.patient_flow import EXCLUDED_LABEL, NO_IMAGE, NO_LABEL, NO_PHASE, OTHER_LABEL, REASONS

NOBODY = {reason: 0 for reason in REASONS if reason != NO_PHASE}


def test_every_reason_of_an_importer_has_its_place():
    skipped = {
        "no label": 2,
        "label 'DCM' is neither class": 3,
        "label 'RV' is neither class": 4,
        "label excluded": 5,
        "no image with mask": 6,
        "Info.cfg cannot be used": 7,
        "no frame with both contours": 8,
        "another centre": 100,
        "not in part 1 of 2": 100,
        "second folder of the same name": 100,
    }
    assert left_out(skipped) == {NO_LABEL: 2, OTHER_LABEL: 7, EXCLUDED_LABEL: 5, NO_IMAGE: 21}
    assert left_out({}) == NOBODY


def test_an_import_keeps_them(tmp_path):
    root = tmp_path / "ACDC"
    for number, group in enumerate(("HCM", "NOR", "NOR", "DCM", "")):
        acdc(root, number + 1, group)
    site = import_acdc(root, tmp_path / "site", name="acdc").site
    assert site.info.left_out == NOBODY | {OTHER_LABEL: 1, NO_IMAGE: 1}
    assert SiteFolder.open(site.path).info.left_out == site.info.left_out


def test_of_a_part_it_is_not_known_whose_they_were(tmp_path):
    cohort = Cohort(tmp_path)
    cohort.rows[2]["label"] = "maybe"
    given = {"name": "t", "positive": "scar", "negative": "none", "exclude": ["maybe"]}
    file = cohort.write_csv()
    whole = import_table(file, tmp_path / "whole", **given).site
    assert whole.info.left_out == NOBODY | {EXCLUDED_LABEL: 1}
    assert import_table(file, tmp_path / "half", part=(1, 2), **given).site.info.left_out is None


def test_a_site_of_an_older_release_opens(tmp_path):
    site = Cohort(tmp_path).site()
    file = site.path / SITE_FILE
    held = json.loads(file.read_text())
    del held["left_out"]
    file.write_text(json.dumps(held))
    assert SiteFolder.open(site.path).info.left_out is None
