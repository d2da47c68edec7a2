"""The table, the site folder and the folder of sites."""

import json

import pytest
from cohort_samples import Cohort

from client.cohort.patients import patients
from client.cohort.site_folder import SiteFolder, new_site_folder
from client.cohort.sites import find_sites
from client.cohort.table import TableFaults, read_table, write_table
from common.errors import CohortError

HEADER = "patient_id,image,mask,phase,label"


def put(folder, text, encoding="utf-8"):
    file = folder / "cohort.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_marks_and_spaces(tmp_path, delimiter, encoding, newline):
    text = " Patient_ID , image,mask,phase , label,Field Strength\n p1 ,a.nii, /m/b.nii ,ED, scar ,"
    text += " 1.5\n\n ,,,,,\n"
    text = text.replace(",", delimiter).replace("\n", newline)
    table = read_table(put(tmp_path, text, encoding))
    (row,) = table.rows
    assert (row.patient_id, row.phase, row.label, row.line) == ("p1", "ED", "scar", 2)
    assert row.image == tmp_path / "a.nii"
    assert str(row.mask) == "/m/b.nii"
    assert row.covariates == {"field_strength": "1.5"}
    assert (row.frame, row.slice) == (None, None)


def test_missing_and_double_columns_are_all_named(tmp_path):
    with pytest.raises(TableFaults, match="column mask: the column is missing") as caught:
        read_table(put(tmp_path, "patient_id,image,phase,age,Age\np,a,ED,1,2"))
    assert [f.code for f in caught.value.faults] == ["column-missing"] * 2 + ["column-twice"]
    assert "the file has patient_id, image, phase, age, Age" in str(caught.value)


def test_all_bad_rows_are_listed(tmp_path):
    text = f"{HEADER},frame,slice\np1,a,b,ED,x,1.5,-2\n,a,b,ED,x,,\np3,a,b,ED\np4,a,b,ED,x,0,3\n"
    with pytest.raises(TableFaults) as caught:
        read_table(put(tmp_path, text))
    found = [(f.code, f.where) for f in caught.value.faults]
    assert found == [
        ("frame-invalid", "line 2, column frame"),
        ("slice-invalid", "line 2, column slice"),
        ("cell-empty", "line 3, column patient_id"),
        ("row-cells", "line 4"),
    ]
    table = read_table(tmp_path / "cohort.csv", strict=False)
    assert [(r.patient_id, r.frame, r.slice) for r in table.rows] == [("p4", 0, 3)]
    assert len(table.faults) == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (HEADER.encode(), "no rows"),
        (b"\xff\xfe\x00bad", "not UTF-8"),
    ],
)
def test_unusable_files(tmp_path, content, words):
    file = tmp_path / "cohort.csv"
    file.write_bytes(content)
    with pytest.raises(TableFaults, match=words):
        read_table(file)


def test_absent_file(tmp_path):
    with pytest.raises(TableFaults, match="does not exist"):
        read_table(tmp_path / "no.csv")
    with pytest.raises(TableFaults, match="cannot be read"):
        read_table(tmp_path)


def test_a_table_without_labels_serves_prediction(tmp_path):
    file = put(tmp_path, "patient_id,image,mask,phase\np1,a,b,ED\n")
    assert read_table(file, require_label=False).rows[0].label == ""


def test_write_then_read_gives_the_same(tmp_path):
    text = f'{HEADER},frame,slice,note\np1,in/a.nii,/else/b.nii,ED,x,1,2,"a, b"\np2,c,d,ED,y,,,é\n'
    rows = read_table(put(tmp_path, text)).rows
    write_table(tmp_path / "again.csv", rows)
    assert [r.covariates for r in read_table(tmp_path / "again.csv").rows] == [
        {"note": "a, b"},
        {"note": "é"},
    ]
    assert read_table(tmp_path / "again.csv").rows == rows
    assert "p1,in/a.nii,/else/b.nii,ED,x,1,2" in (tmp_path / "again.csv").read_text()


def test_a_second_mask_is_a_path_and_may_be_missing(tmp_path):
    text = f"{HEADER},second_mask,age\np1,a,b,ED,y,in/c.nii,61\np2,d,e,ED,n,,\n"
    table = read_table(put(tmp_path, text))
    assert table.covariates == ("age",)
    assert [row.second_mask for row in table.rows] == [tmp_path / "in/c.nii", None]
    found = patients(table, "y", "n")
    assert [one.cases[0].second_mask for one in found] == [tmp_path / "in/c.nii", None]
    write_table(tmp_path / "again.csv", table.rows)
    assert read_table(tmp_path / "again.csv").rows == table.rows
    assert "p1,a,b,ED,y,in/c.nii,61" in (tmp_path / "again.csv").read_text()
    without = read_table(put(tmp_path, f"{HEADER}\np1,a,b,ED,y\n")).rows
    write_table(tmp_path / "plain.csv", without)
    assert "second_mask" not in (tmp_path / "plain.csv").read_text()


def test_patients_gather_phases_and_slices(tmp_path):
    text = f"{HEADER},slice,age\np1,a,b,ED,n,0,\np1,a,b,ED,y,1,61\np1,c,d,ES,n,,61\np2,e,f,ED,n,,\n"
    first, second = patients(read_table(put(tmp_path, text)), "y", "n")
    assert (first.label, first.covariates) == (1, {"age": "61"})
    assert [case.phase for case in first.cases] == ["ED", "ES"]
    assert first.case("ED").slice_labels == {0: 0, 1: 1}
    assert first.case("dia") is None
    assert (second.label, second.covariates) == (0, {"age": ""})
    with pytest.raises(TableFaults, match="label 'n'; the site's classes") as caught:
        patients(read_table(tmp_path / "cohort.csv"), "y", "z")
    assert len(caught.value.faults) == 3


def test_a_site_folder_is_never_overwritten(tmp_path):
    cohort = Cohort(tmp_path)
    site = cohort.site()
    before = site.table_path.read_bytes()
    with pytest.raises(CohortError, match="not overwritten") as caught:
        cohort.site()
    assert "--out" in caught.value.fix
    assert site.table_path.read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thing").touch()
    with pytest.raises(CohortError, match="something else"), new_site_folder(tmp_path / "other"):
        pass


def test_nothing_half_written_is_left(tmp_path):
    def fail():
        with new_site_folder(tmp_path / "new") as work:
            (work / "images").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_site_knows(tmp_path):
    site = SiteFolder.open(Cohort(tmp_path).site().path)
    assert (site.name, site.myocardium, site.positive, site.negative) == (
        "tufts",
        2,
        "scar",
        "none",
    )
    assert (site.info.source, site.info.created[-6:]) == ("table", "+00:00")
    assert site.info.versions["numpy"]
    assert len(site.patients()) == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "St. Mary's"}, "cannot be a site's name"),
        ({"negative": "scar"}, "not two classes"),
        ({"myocardium": 0}, "label value"),
    ],
)
def test_impossible_sites(tmp_path, change, words):
    given = {
        "name": "a",
        "source": "table",
        "myocardium": 2,
        "positive": "scar",
        "negative": "none",
    }
    with pytest.raises(CohortError, match=words):
        SiteFolder.create(tmp_path / "x", [], **(given | change))
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_absent_sites(tmp_path):
    with pytest.raises(CohortError, match="does not exist"):
        SiteFolder.open(tmp_path / "no")
    with pytest.raises(CohortError, match=r"no site\.json"):
        SiteFolder.open(tmp_path)
    for text in ("{", "{}", json.dumps({"name": "x"})):
        (tmp_path / "site.json").write_text(text)
        with pytest.raises(CohortError, match="damaged"):
            SiteFolder.open(tmp_path)


def test_sites_below_a_folder(tmp_path):
    for name, folder in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        Cohort(tmp_path / folder).site().path.rename(tmp_path / f"site_{name}")
        file = tmp_path / f"site_{name}" / "site.json"
        file.write_text(file.read_text().replace("tufts", name))
    assert list(find_sites(tmp_path)) == ["a", "b"]
    assert list(find_sites(tmp_path, ["b"])) == ["b"]
    with pytest.raises(CohortError, match="no site folder for c; there: a, b"):
        find_sites(tmp_path, ["a", "c"])
    file.write_text(file.read_text().replace('"b"', '"a"'))
    with pytest.raises(CohortError, match="both carry the name 'a'"):
        find_sites(tmp_path)
    with pytest.raises(CohortError, match="not a folder"):
        find_sites(tmp_path / "no")
    with pytest.raises(CohortError, match="holds no site folder"):
        find_sites(tmp_path / "one")
