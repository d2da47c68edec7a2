"""A study in plain words, for the person who approves it: what will run, and what will leave."""

from __future__ import annotations

from client.report_words import asked_for_report, leaves_for_report
from common.course import stages_asked
from common.identity import line_fingerprint
from common.leave_one_out import family
from common.study import Study
from common.study_reduction import Reduction
from common.study_tables import Site

Lines = list[tuple[str, str]]
"""What a line is about, and what it says."""

_FIRST = (
    "number of patients of each class and of slices, versions of the software, recipe, self-test, "
    "processor, cores and memory"
)
_SUMS: dict[str, str] = {
    "harmonize": "sums over training slices: features, their squares and products with covariates; "
    "slices of each class",
    "train": "the change of the network's weights, numbers of patients and slices, losses, and how "
    "many validation patients of each class have which score",
    "fuse": "sums and products of features and scores, loss, gradient and Hessian of the heads, "
    "and how many validation patients of each class have which score",
    "calibrate": "how many validation patients of each class have which score, AUC times patients",
}
"""What each stage of training needs of a site, in words for a person; the names are the stages'."""

_SCORES = (
    "in the clear, of this site alone: how many patients of each class have which score (in "
    "1/1000), AUC with its variance, confusion counts at the frozen thresholds, numbers of slices "
    "and batches; with several external sites, sums to compare the models over all of them"
)
"""What a site is asked where it is external, in every study."""
_TRIALS = (
    "as for train, of each network that is tried out; numbers of patients and slices, and how many "
    "validation patients of the first fold have which score"
)
"""What the search for settings needs of a site, where a study has one."""
_PAIRS = "; and how features differ over two masks of the same slices, where patients have both"

_NEVER = "images, masks, rows and names of patients, private keys of this site"


def what_runs(study: Study, own: Site) -> Lines:
    """Say what will run: roster, stages, recipe, minimum, deadlines. `own` is this site."""
    training, folds = study.training, study.folds
    times = "" if folds == 1 else f", all of it {folds} times (folds)"
    least = study.least_sites
    who = "all of its sites" if study.quorum.min_sites == 0 else f"at least {least} training sites"
    return [
        ("study", f"{study.name}: {study.outcome.positive} against {study.outcome.negative}"),
        ("fingerprint", study.fingerprint),
        *(("site", _site(site, own)) for site in study.sites),
        ("stages", f"{', '.join(stages_asked(study))} (only of external sites, which never train)"),
        *([("search", _search(study))] if study.search.on else []),
        (
            "training",
            f"{training.rounds} rounds of {_length(study)}, {training.strategy}, "
            f"network of width {'as found' if study.search.on else f'{study.cnn.width:g}'}{times}",
        ),
        *([("reduction", _reduction(study))] if study.reduction != Reduction() else []),
        ("recipe", _recipe(study)),
        ("harmonisation", _harmonisation(study)),
        *([("privacy", _privacy(study))] if study.privacy.on else []),
        *([("report", asked_for_report(study))] if study.report.on else []),
        (
            "minimum",
            f"{study.cohort.minimum_patients_per_class} patients of each class; with fewer this "
            "site takes no part and tells no number",
        ),
        ("goes on with", who),
        ("deadlines", _deadlines(study)),
        *([("one left out", _left_out(study))] if study.leave_one_site_out else []),
    ]


def what_leaves(study: Study, own: Site) -> Lines:
    """Say what of this site leaves at each stage, and who can read it."""
    if own.role == "external":
        return [
            ("enrol", f"in the clear: {_FIRST}"),
            ("validate", f"{_external(study)}{_in_every_run(study)}"),
            *leaves_for_report(study, own),
            ("never", _NEVER),
        ]
    masked = study.secure_sum.enabled
    if masked:
        how = f"masked; only the total over {_fewest(study)} or more sites can be read"
    else:
        how = "in the clear, of this site alone"
    return [
        ("enrol", f"in the clear: {_FIRST}{', a public key for the masks' if masked else ''}"),
        *((stage, f"{how}: {what}") for stage, what in _sums(study).items()),
        *leaves_for_report(study, own),
        (
            "validate",
            f"in the run in which this site is left out, {_external(study)}. Nothing in the others"
            if study.leave_one_site_out
            else "nothing: external sites only are asked",
        ),
        ("never", _NEVER),
    ]


def _external(study: Study) -> str:
    """Say what leaves of a site where it is external."""
    asked = {
        "; where the network looks, summed over the patients of each class by segment of the "
        "myocardium": study.explain.attention,
        "; scores, AUC and confusion counts of each classifier compared as well": (
            study.comparison.on
        ),
    }
    return _SCORES + "".join(words for words, on in asked.items() if on)


def note_on_sums(study: Study) -> str:
    """Say in a few sentences what secure summation does in this study, or that it is off."""
    if not study.secure_sum.enabled:
        first = (
            "Secure summation is off: the coordinator can read what each training site says. "
            "Feature means of a site can be worked out from that."
        )
    else:
        first = (
            f"Secure summation is on: what a training site says is hidden in a total over "
            f"{_fewest(study)} or more sites. If sites drop out, the others answer again for "
            f"those that are left, at most {study.secure_sum.set_changes} times in all runs of the "
            "study."
        )
    return " ".join([first, *_differences(study), _what_remains(study)])


def _left_out(study: Study) -> str:
    """Say which runs leave one site out adds, and by which fingerprints a ledger names them."""
    runs = ", ".join(f"{site} ({one[:12]})" for one, site in _without(study).items())
    return (
        f"beside this study, up to {len(study.training_sites)} runs of the same protocol, in each "
        f"of which another training site is external and does not train: without {runs}"
    )


def _fewest(study: Study) -> int:
    """Say over how few sites a sum may be, in the runs that leave one out as well."""
    return min(one.least_sites for one in (study, *family(study).values()))


def _without(study: Study) -> dict[str, str]:
    """Give the site that is left out, by the fingerprint of the derived study."""
    return dict(zip(family(study), study.training_sites, strict=True))


def _in_every_run(study: Study) -> str:
    if not study.leave_one_site_out:
        return ""
    return f"; once in each of the {len(study.training_sites)} runs that leave a site out as well"


def _differences(study: Study) -> list[str]:
    """Say what masks cannot hide where every total is taken again without each of the sites."""
    if not (study.leave_one_site_out and study.secure_sum.enabled):
        return []
    return [
        "But this study asks for leave one site out: every total is taken again without each of "
        "the sites, and the differences tell what one site alone says. Exactly so for the sums of "
        "harmonize, which are the same in all runs; nearly so for the sums of fuse over features "
        "that are not harmonised, and for the first round of train. So do not count on the masks: "
        "read it as a study in which the coordinator could see this site's sums."
    ]


def _length(study: Study) -> str:
    """Say how long a site trains in a round."""
    if study.privacy.on:
        return f"{study.privacy.steps} step(s) with noise"
    return f"{study.training.local_epochs} epoch(s)"


def _what_remains(study: Study) -> str:
    privacy = study.privacy
    if not privacy.on:
        return "A network can still tell something of the patients that trained it."
    covered = "everything that leaves after enrolment" if privacy.everything else "the network"
    return (
        f"Noise hides each training patient: {covered} comes out nearly as likely without any one "
        f"of them (epsilon {privacy.epsilon:g}, delta {privacy.delta:g}). What is spent is kept in "
        "this site's folder: myofed site budget."
        + ("" if privacy.everything else " Sums of the other stages carry no noise.")
    )


def _compared(study: Study) -> str:
    """Say what the comparison of classifiers needs of a site."""
    nodes = (
        "; sums over the slices in each node of a tree, by steps of each selected feature"
        if study.comparison.trees
        else ""
    )
    return (
        f"for {', '.join(study.comparison.classifiers)}: loss, gradient and Hessian over training "
        f"slices{nodes}; how many validation patients of each class have which score, AUC times "
        "patients"
    )


def _sums(study: Study) -> dict[str, str]:
    """Say what each stage of this study needs of a training site, in their order."""
    words = _SUMS | _noisy(study)
    if study.reduction.measures_icc:
        words["harmonize"] += _PAIRS
    if study.search.on:
        words["search"] = _TRIALS
    if study.comparison.on:
        words["compare"] = _compared(study)
    return {stage: words[stage] for stage in stages_asked(study) if stage in words}


def _search(study: Study) -> str:
    asked = study.search
    values = ", ".join(
        f"{name} {' or '.join(f'{value:g}' for value in found)}"
        for name, found in (
            ("width", asked.widths),
            ("learning rate", asked.learning_rates),
            ("dropout", asked.dropouts),
        )
    )
    rounds = sum(rung.cost for rung in asked.rungs)
    return f"{asked.trials} networks are tried out first, in {rounds} rounds together: {values}"


def _reduction(study: Study) -> str:
    asked = study.reduction
    said = {"lasso": "LASSO", "pruning": "correlation pruning", "pca": "principal components"}
    least = f"; an intra-class correlation over two masks ({asked.second_mask}) of at least "
    return said[asked.method] + (f"{least}{asked.minimum_icc:g}" if asked.measures_icc else "")


def _noisy(study: Study) -> dict[str, str]:
    """Say what each stage needs where noise hides each patient."""
    if not study.privacy.on:
        return {}
    train = {
        "train": "the change of the network's weights, with noise; no loss, no scores",
    }
    if not study.privacy.everything:
        return train
    return train | {
        "harmonize": "sums of features over training patients, with noise",
        "fuse": "sums and products of features over training patients, with noise",
        "calibrate": "how many validation patients of each class have which score, in 20 steps, "
        "with noise",
    }


def _privacy(study: Study) -> str:
    privacy = study.privacy
    more = f"; {len(privacy.features)} named radiomics, within bounds" if privacy.everything else ""
    return (
        f"of each training patient, epsilon {privacy.epsilon:g} at delta {privacy.delta:g}, "
        f"at most {privacy.most:g} over all studies of this site; covers {privacy.covers}{more}"
    )


def _site(site: Site, own: Site) -> str:
    role = "trains" if site.role == "train" else "external"
    key = line_fingerprint(site.key) if site.key else "no key"
    return f"{site.name}{' (this site)' if site.name == own.name else ''}, {role}, {key}"


def _recipe(study: Study) -> str:
    cohort, pixels, radiomics = study.cohort, study.preprocessing, study.radiomics
    return (
        f"phases {', '.join(cohort.phases)}, {cohort.slices} slices; {pixels.spacing_mm:g} mm, "
        f"crop {pixels.crop} around the {pixels.crop_center}; bin width {radiomics.bin_width:g}, "
        f"wavelet {radiomics.wavelet}"
    )


def _harmonisation(study: Study) -> str:
    asked = study.harmonization
    covariates = ", ".join(item.name for item in asked.covariates) or "no covariates"
    return f"ComBat ({asked.mode}), a batch is a {asked.batch}, {covariates}"


def _deadlines(study: Study) -> str:
    named = ((stage, study.deadline(stage)) for stage in stages_asked(study))
    return ", ".join(f"{stage} {seconds / 60:g} min" for stage, seconds in named) + " a question"
