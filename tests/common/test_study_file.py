"""The protocol file: the template, what is refused and at which line, and the fingerprint."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from common.cli import template
from common.errors import StudyError
from common.question_kinds import QUESTIONS
from common.study import Study
from common.study_file import parse_study, read_study
from common.study_tables import DEADLINES, Covariate, Section

ROSTER = """name = "tiny"
secure_sum.enabled = false

[[sites]]
name = "a"
role = "train"

[[sites]]
name = "b"
role = "external"
"""


MORE = "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in ("c", "d"))
THREE = ROSTER + MORE
HIDING = THREE.replace("secure_sum.enabled = false\n", "")
"""Three sites that train, of which nobody is to learn more than the sum."""


def keys_of(section: type[BaseModel]) -> list[str]:
    """Every dotted key of a section; a list of tables counts by its own name."""
    found = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found += [f"{name}.{key}" for key in keys_of(kind)]
        else:
            found.append(name)
    return found


def holds(content: dict[str, Any], dotted: str) -> bool:
    for part in dotted.split("."):
        if part not in content:
            return False
        content = content[part]
    return True


def test_the_template_shows_every_key_at_its_default() -> None:
    content = tomllib.loads(template())
    commented = {"harmonization.covariates", "report.variables"}
    wanted = keys_of(Study)
    assert len(wanted) > 40
    assert [key for key in wanted if not holds(content, key) and key not in commented] == []
    own = parse_study(template()).model_dump()
    bare = Study.model_validate({"name": own["name"], "sites": own["sites"]}).model_dump()
    assert own == bare


def test_the_template_shows_every_deadline() -> None:
    shown = tomllib.loads(template())["quorum"]["deadline_seconds"]
    assert shown == DEADLINES
    # A question of the search is one of training, of another network.
    assert {*shown, "search"} == set(QUESTIONS)


def test_a_deadline_that_is_not_named_is_the_default() -> None:
    study = parse_study(ROSTER + "[quorum.deadline_seconds]\ntrain = 60.5\n")
    assert {stage: study.deadline(stage) for stage in DEADLINES} == DEADLINES | {"train": 60.5}
    assert study.deadline("search") == 60.5
    whole = "".join(f"{stage} = {limit}\n" for stage, limit in DEADLINES.items())
    written = parse_study(ROSTER + "[quorum.deadline_seconds]\n" + whole)
    assert written.fingerprint == parse_study(ROSTER).fingerprint != study.fingerprint


def test_a_quorum_of_0_means_all_that_train() -> None:
    three = ROSTER + '[[sites]]\nname = "c"\nrole = "train"\n'
    assert parse_study(three).least_sites == 2
    assert parse_study(three + "[quorum]\nmin_sites = 1\n").least_sites == 1
    both = parse_study(three + '[quorum]\nmandatory = ["a", "b"]\n')
    assert both.quorum.mandatory == ("a", "b")


def test_the_template_s_covariate_is_valid_once_its_hashes_are_taken_off() -> None:
    lines = template().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# [[harmonization"))
    lines[start : start + 4] = [line.removeprefix("# ") for line in lines[start : start + 4]]
    study = parse_study("\n".join(lines))
    assert study.harmonization.covariates == (
        Covariate(name="sex", kind="categorical", levels=("F", "M")),
    )


def test_the_template_s_variables_are_valid_once_their_hashes_are_taken_off() -> None:
    lines = template().replace("patients = false", "patients = true").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# [[report"))
    lines[start:] = [line.removeprefix("# ").removeprefix("#") for line in lines[start:]]
    study = parse_study("\n".join(lines))
    age, sex = study.report.variables
    assert (age.bins, age.groups) == (16, ("below 45", "45 to below 65", "65 and above"))
    assert sex.groups == ("F", "M")
    assert [one.name for one in study.report.subgroups] == ["age", "sex"]


KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'a' * 43}"
COVARIATE = '[[harmonization.covariates]]\nname = "{name}"\nkind = "{kind}"\n'
NUMBER = """[[report.variables]]
name = "age"
kind = "numeric"
lower = 1.0
upper = 9.0
width = 1.0
"""
TWICE = ROSTER.replace('name = "b"', 'name = "a"')
NO_TRAIN = ROSTER.replace('"train"', '"external"')
REFUSED: dict[str, tuple[str, str, str]] = {
    # what: (file, text of the line to be named, part of the reason)
    "unknown key at the top": ("colour = 1\n" + ROSTER, "colour = 1", "colour: unknown key"),
    "unknown key of a section": (
        ROSTER + "\n[cnn]\nwidth = 1.0  # wide\ndepth = 7\n",
        "depth = 7",
        "cnn.depth: unknown key",
    ),
    "unknown section": (ROSTER + "\n[cohorts]\nphases = []\n", "[cohorts]", "unknown key"),
    "unknown key of the second site": (
        ROSTER + 'city = "Boston"\n',
        'city = "Boston"',
        "sites.2.city: unknown key",
    ),
    "a role that is none": (
        ROSTER.replace('"external"', '"judge"'),
        'role = "judge"',
        "'train' or 'external'",
    ),
    "out of range": (ROSTER + "[training]\nrounds = 0\n", "rounds = 0", "greater than or equal"),
    "not a number": (ROSTER + "[cnn]\nwidth = nan\n", "width = nan", "cnn.width"),
    "a dotted key": (ROSTER.replace("\n", "\ncnn.width = -1\n", 1), "cnn.width = -1", "greater"),
    "a report beside differential privacy": (
        HIDING + "[privacy]\nepsilon = 4.0\ncovers = 'network'\n[report]\npatients = true\n",
        "[report]",
        "noise of [privacy] hides",
    ),
    "a number without bounds": (
        ROSTER + "[report]\npatients = true\n" + NUMBER.replace("upper = 9.0\n", ""),
        "[[report.variables]]",
        "lower below upper",
    ),
    "bins that list patients": (
        ROSTER + "[report]\npatients = true\n" + NUMBER.replace("9.0", "99.0"),
        "[[report.variables]]",
        "98 bins; 2 to 50",
    ),
    "subgroups of a number without bands": (
        ROSTER + "[report]\npatients = true\n" + NUMBER + "subgroups = true\n",
        "[[report.variables]]",
        "needs bands",
    ),
    "two ways to cut a column": (
        ROSTER + "[report]\npatients = true\n" + NUMBER * 2,
        "[[report.variables]]",
        "of the same column",
    ),
    "a variable that nobody asks for": (
        ROSTER + "[report]\npatients = false\n" + NUMBER,
        "[report]",
        "nothing is asked of them",
    ),
    "a card of what is no variable": (
        HIDING + "[report]\nsite_card = ['colour']\n",
        "[report]",
        "neither 'site' nor a variable",
    ),
    "a card of one training site": (
        ROSTER + "[report]\nfeatures = true\n",
        "[report]",
        "one training site alone",
    ),
    "two values that do not fit": (
        ROSTER + "[training]\nrounds = 3\naveraged_rounds = 4\n",
        "[training]",
        "averaged_rounds is 4, but there are 3 rounds",
    ),
    "two sites of one name": (TWICE, "[[sites]]", "two sites have the same name: a"),
    "no site that trains": (NO_TRAIN, "[[sites]]", "no site has the role 'train'"),
    "a reference that does not train": (
        ROSTER + '[harmonization]\nreference = "b"\n',
        'reference = "b"',
        "b is not a training site",
    ),
    "the outcome as covariate": (
        ROSTER + COVARIATE.format(name="label", kind="numeric"),
        'name = "label"',
        "never a ComBat covariate",
    ),
    "the positive class as covariate": (
        ROSTER + COVARIATE.format(name="scar", kind="numeric"),
        'name = "scar"',
        "never a ComBat covariate",
    ),
    "the outcome under another name": (
        ROSTER
        + COVARIATE.format(name="age", kind="numeric")
        + COVARIATE.format(name="finding", kind="categorical")
        + 'levels = ["none", "scar"]\n',
        'name = "finding"',
        "never a ComBat covariate",
    ),
    "more sites asked for than train": (
        ROSTER + "[quorum]\nmandatory = []\nmin_sites = 2\n",
        "min_sites = 2",
        "quorum.min_sites: 2 sites are asked for, and the roster has 1 that train",
    ),
    "a mandatory site that is not in the roster": (
        ROSTER + '[quorum]\nmin_sites = 1\nmandatory = ["b", "c", "d"]\n',
        'mandatory = ["b", "c", "d"]',
        "quorum.mandatory: c, d is not in the roster",
    ),
    "fewer sites than none": (
        ROSTER + "[quorum]\nmin_sites = -1\n",
        "min_sites = -1",
        "quorum.min_sites",
    ),
    "a deadline of no time": (
        ROSTER + "[quorum.deadline_seconds]\nenrol = 900.0\ntrain = 0.0\n",
        "train = 0.0",
        "quorum.deadline_seconds.train",
    ),
    "a deadline of no stage": (
        ROSTER + "[quorum.deadline_seconds]\nlunch = 60.0\n",
        "lunch = 60.0",
        "quorum.deadline_seconds.lunch",
    ),
    "a firewall that lets nothing through": (
        ROSTER + "[firewall]\nnorm_limit = 0.0\n",
        "norm_limit = 0.0",
        "firewall.norm_limit",
    ),
    "half of the sites trimmed": (
        ROSTER + "[training]\ntrimmed_fraction = 0.5\n",
        "trimmed_fraction = 0.5",
        "training.trimmed_fraction",
    ),
    "a strategy that is none": (
        ROSTER + '[training]\nstrategy = "mode"\n',
        'strategy = "mode"',
        "'trimmed_mean' or 'krum'",
    ),
    "a key that is none": (
        ROSTER + 'key = "ssh-rsa AAAA"\n',
        'key = "ssh-rsa AAAA"',
        "sites.2.key",
    ),
    "one key for two sites": (
        ROSTER.replace('"train"\n', f'"train"\nkey = "{KEY}"\n') + f'key = "{KEY}"\n',
        "[[sites]]",
        "two sites have the same key",
    ),
    "two sites that cannot hide": (
        HIDING.replace('"train"', '"external"', 1) + "[secure_sum]\nset_changes = 2\n",
        "[secure_sum]",
        "secure_sum: 2 training sites, and fewer than 3 cannot hide",
    ),
    "a quorum in which two may have to hide": (
        HIDING + "[quorum]\nmin_sites = 2\n[secure_sum]\nenabled = true\n",
        "[secure_sum]",
        "secure_sum: 2 training sites may answer, and fewer than 3",
    ),
    "fewer changes than none": (
        HIDING + "[secure_sum]\nset_changes = -1\n",
        "set_changes = -1",
        "secure_sum.set_changes",
    ),
    "hidden weights that are to be compared": (
        HIDING + '[secure_sum]\n[training]\nstrategy = "median"\n',
        "[secure_sum]",
        "the strategy median compares the sites' weights",
    ),
    "hidden sums of any size": (
        HIDING + '[secure_sum]\n[harmonization]\ntransform = "none"\n',
        "[secure_sum]",
        "Set harmonization.transform to 'asinh'",
    ),
    "8 bits for more sites than they can be divided among": (
        "".join(
            [
                'name = "s"\n[training]\ntransfer = "int8"\n',
                *(f'[[sites]]\nname = "s{number}"\nrole = "train"\n' for number in range(64)),
            ]
        ),
        'transfer = "int8"',
        "8 bits can be divided among 63 at most",
    ),
    "8 bits for noisy changes": (
        HIDING + '[training]\ntransfer = "int8"\n[privacy]\nepsilon = 8.0\ncovers = "network"\n',
        'transfer = "int8"',
        "training.transfer: the noise of [privacy]",
    ),
    "a categorical covariate without levels": (
        ROSTER + "\n\n" + COVARIATE.format(name="sex", kind="categorical"),
        "[[harmonization.covariates]]",
        "needs two or more levels",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_the_line_and_the_reason(case: str) -> None:
    text, line, reason = REFUSED[case]
    number = text.splitlines().index(line) + 1
    with pytest.raises(StudyError) as caught:
        parse_study(text, "s.toml")
    assert f"s.toml, line {number}: " in caught.value.what
    assert reason in caught.value.what
    assert caught.value.fix


def test_sums_are_hidden_unless_the_study_says_so() -> None:
    assert parse_study(HIDING).secure_sum.enabled
    assert not parse_study(THREE).secure_sum.enabled
    # What cannot be hidden is possible where nothing is to be.
    for more in (
        'strategy = "median"',
        "[quorum]\nmin_sites = 2",
        '[harmonization]\ntransform = "none"',
    ):
        with pytest.raises(StudyError, match="enabled = false"):
            parse_study(HIDING + f"[training]\n{more}\n")
        parse_study(THREE + f"[training]\n{more}\n")
    with pytest.raises(StudyError, match="secure_sum: 1 training sites"):
        parse_study(ROSTER.replace("secure_sum.enabled = false\n", ""))


def test_a_key_is_an_openssh_line_and_may_be_left_out() -> None:
    keyed = parse_study(ROSTER + f'key = "{KEY}"\n')
    assert [site.key for site in keyed.sites] == ["", KEY]
    assert keyed.fingerprint != parse_study(ROSTER).fingerprint
    for bad in (f"{KEY} a@b", KEY[:-1], KEY + "=", KEY.replace("ed25519", "rsa"), f" {KEY}"):
        with pytest.raises(StudyError, match=r"sites\.2\.key"):
            parse_study(ROSTER + f'key = "{bad}"\n')


def test_every_fault_is_listed_in_one_pass() -> None:
    text = ROSTER + "[cnn]\ndepth = 7\nwidth = 9\n[fusion]\nsizes = []\n"
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    places = {line.split(": ")[0] for line in caught.value.what.splitlines()}
    rows = text.splitlines()
    wanted = (rows.index(key) + 1 for key in ("depth = 7", "width = 9", "sizes = []"))
    assert places == {f"study.toml, line {number}" for number in wanted}


def test_a_missing_key_broken_toml_and_an_unreadable_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="name: Field required"):
        parse_study(ROSTER.replace('name = "tiny"', ""))
    with pytest.raises(StudyError, match="line 1, column"):
        parse_study("name = \n")
    with pytest.raises(StudyError, match=r"nowhere\.toml cannot be read \(No such file"):
        read_study(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(StudyError, match="not UTF-8"):
        read_study(tmp_path / "latin.toml")


def test_the_fingerprint_sees_content_and_nothing_else() -> None:
    plain = parse_study(ROSTER + "[cnn]\nwidth = 0.5\ndropout = 0.4\n")
    other = parse_study(
        "# a comment\ncnn = { dropout = 0.40, width = 5e-1 }   # inline\nseed = 2026\n"
        'sites = [{ role = "train", name = "a" }, { role = "external", name = "b" }]\n'
        "name = 'tiny'\nfolds=1\n[training]\nrounds = 15\n[secure_sum]\nenabled=false\n"
    )
    assert len(plain.fingerprint) == 64
    assert other.fingerprint == plain.fingerprint
    assert Study.model_validate_json(plain.canonical()).fingerprint == plain.fingerprint


def _changed(value: Any) -> list[Any]:
    """Other values of the same kind, some of which may be valid in its place."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2, value + 128]
    if isinstance(value, float):
        return [value / 2, value + 0.5]
    if isinstance(value, dict):
        return [value | {"train": 60.0}]
    if isinstance(value, str):
        words = ("none", "site", "all", "middle", "image", "minmax", "haar", "scanner", "mean")
        words += ("network", "dense", "adam", "pca", "dilated", "consistency", "bfloat16", "int8")
        return [*words, "mean_only", "fedadam", "geometry", "refuse", "a", "xyz"]
    return [[*value, *value[:1]], [*value, "extra"], [*value, "b"], [*value, "svm"]]


OF_PRIVACY = {"privacy.epsilon", "privacy.features"}
"""Neither has another valid value while the rest of the table has its defaults."""

OF_REPORT = {"report.variables", "report.site_card"}
"""Likewise."""


def test_a_study_from_before_the_later_sections_keeps_its_fingerprint() -> None:
    """As the version that had none of them gave it: its approvals and releases stay good."""
    roster = "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in "abc")

    study = parse_study(f'name = "older"\n{roster}')

    assert study.fingerprint == "55f583616fa05ce89a2488473ff5f981593fa889b86835bd4f9d5728dbc617bf"
    assert Study.model_validate_json(study.canonical()) == study


@pytest.mark.parametrize(("key", "other"), [("precision", "bfloat16"), ("transfer", "int8")])
def test_a_later_key_of_an_older_section_counts_only_where_it_is_used(key: str, other: str) -> None:
    plain = parse_study(THREE)
    table = plain.model_dump(mode="json")

    def with_value(value: str) -> Study:
        return Study.model_validate(table | {"training": table["training"] | {key: value}})

    assert key not in plain.canonical()
    assert with_value("float32").fingerprint == plain.fingerprint
    short = with_value(other)
    assert short.fingerprint != plain.fingerprint
    assert Study.model_validate_json(short.canonical()) == short
    with pytest.raises(ValueError, match=key):
        with_value("float16")


def test_the_fingerprint_changes_with_any_value() -> None:
    base = parse_study(THREE)
    content = base.model_dump(mode="json")
    prints = {base.fingerprint}
    tried = 0
    for dotted in keys_of(Study):
        if dotted in {"sites", "harmonization.covariates", *OF_PRIVACY, *OF_REPORT}:
            continue
        *sections, key = dotted.split(".")
        for other in _changed(_at(content, sections)[key]):
            changed = Study.model_validate(content).model_dump(mode="json")
            if _at(changed, sections)[key] == other:
                continue
            _at(changed, sections)[key] = other
            try:
                study = Study.model_validate(changed)
            except ValueError:
                continue
            prints.add(study.fingerprint)
            tried += 1
            break
        else:
            pytest.fail(f"no other value of {dotted} is valid")
    assert tried > 40
    assert len(prints) == tried + 1
    swapped = content | {"sites": content["sites"][::-1]}
    covariate = {"name": "age", "kind": "numeric"}
    aged = content | {"harmonization": content["harmonization"] | {"covariates": [covariate]}}
    hiding = content["privacy"] | {"epsilon": 8.0, "covers": "network"}
    areas = {"original_shape2D_PixelSurface": [0, 6e3], "original_firstorder_Mean": [0, 255]}
    bounded = hiding | {"covers": "everything", "features": areas}
    covered = {
        "privacy": bounded,
        "harmonization": content["harmonization"] | {"mode": "mean_only"},
    }
    other = {"privacy": bounded | {"features": areas | {"original_firstorder_Mean": [0, 200]}}}
    card = content | {"report": content["report"] | {"site_card": ["site"]}}
    sex = {"name": "sex", "kind": "categorical", "levels": ["F", "M"], "subgroups": True}
    table = content | {"report": content["report"] | {"variables": [sex]}}
    for more in (swapped, aged, card, table, content | {"privacy": hiding}, content | covered):
        assert Study.model_validate(more).fingerprint not in prints
    pair = [Study.model_validate(content | covered | more) for more in ({}, other)]
    assert pair[0].fingerprint != pair[1].fingerprint


def _at(content: dict[str, Any], sections: list[str]) -> dict[str, Any]:
    for name in sections:
        content = content[name]
    return content
