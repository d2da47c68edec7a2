"""The digital phantom of IBSI 1, slice by slice, against the consensus values."""

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.imaging.preprocess import PreparedSlice
from client.imaging.radiomics import RadiomicsRecipe, extract_slice, feature_names

IBSI = Path(__file__).resolve().parents[3] / "shared" / "data" / "ibsi1"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not IBSI.is_dir(), reason=f"no IBSI phantom at {IBSI}"),
]

# Directions merged within a slice ("comb"), as weightingNorm="no_weighting" does; then the mean
# over slices. Dissimilarity and sum variance are second names of features already here.
GLCM = {
    "joint_max": "MaximumProbability", "joint_avg": "JointAverage", "joint_var": "SumSquares",
    "joint_entr": "JointEntropy", "diff_avg": "DifferenceAverage",
    "diff_var": "DifferenceVariance", "diff_entr": "DifferenceEntropy", "sum_avg": "SumAverage",
    "sum_var": "ClusterTendency", "sum_entr": "SumEntropy", "energy": "JointEnergy",
    "contrast": "Contrast", "dissimilarity": "DifferenceAverage", "inv_diff": "Id",
    "inv_diff_norm": "Idn", "inv_diff_mom": "Idm", "inv_diff_mom_norm": "Idmn",
    "inv_var": "InverseVariance", "corr": "Correlation", "auto_corr": "Autocorrelation",
    "clust_tend": "ClusterTendency", "clust_shade": "ClusterShade",
    "clust_prom": "ClusterProminence", "info_corr1": "Imc1", "info_corr2": "Imc2",
}  # fmt: skip
GLRLM = {
    "sre": "ShortRunEmphasis", "lre": "LongRunEmphasis", "lgre": "LowGrayLevelRunEmphasis",
    "hgre": "HighGrayLevelRunEmphasis", "srlge": "ShortRunLowGrayLevelEmphasis",
    "srhge": "ShortRunHighGrayLevelEmphasis", "lrlge": "LongRunLowGrayLevelEmphasis",
    "lrhge": "LongRunHighGrayLevelEmphasis", "glnu": "GrayLevelNonUniformity",
    "glnu_norm": "GrayLevelNonUniformityNormalized", "rlnu": "RunLengthNonUniformity",
    "rlnu_norm": "RunLengthNonUniformityNormalized", "r_perc": "RunPercentage",
    "gl_var": "GrayLevelVariance", "rl_var": "RunVariance", "rl_entr": "RunEntropy",
}  # fmt: skip
GLSZM = {
    "sze": "SmallAreaEmphasis", "lze": "LargeAreaEmphasis", "lgze": "LowGrayLevelZoneEmphasis",
    "hgze": "HighGrayLevelZoneEmphasis", "szlge": "SmallAreaLowGrayLevelEmphasis",
    "szhge": "SmallAreaHighGrayLevelEmphasis", "lzlge": "LargeAreaLowGrayLevelEmphasis",
    "lzhge": "LargeAreaHighGrayLevelEmphasis", "glnu": "GrayLevelNonUniformity",
    "glnu_norm": "GrayLevelNonUniformityNormalized", "zsnu": "SizeZoneNonUniformity",
    "zsnu_norm": "SizeZoneNonUniformityNormalized", "z_perc": "ZonePercentage",
    "gl_var": "GrayLevelVariance", "zs_var": "ZoneVariance", "zs_entr": "ZoneEntropy",
}  # fmt: skip
GLDM = {
    "lde": "SmallDependenceEmphasis", "hde": "LargeDependenceEmphasis",
    "lgce": "LowGrayLevelEmphasis", "hgce": "HighGrayLevelEmphasis",
    "ldlge": "SmallDependenceLowGrayLevelEmphasis",
    "ldhge": "SmallDependenceHighGrayLevelEmphasis",
    "hdlge": "LargeDependenceLowGrayLevelEmphasis",
    "hdhge": "LargeDependenceHighGrayLevelEmphasis", "glnu": "GrayLevelNonUniformity",
    "dcnu": "DependenceNonUniformity", "dcnu_norm": "DependenceNonUniformityNormalized",
    "gl_var": "GrayLevelVariance", "dc_var": "DependenceVariance",
    "dc_entr": "DependenceEntropy",
}  # fmt: skip
NGTDM = {
    "coarseness": "Coarseness", "contrast": "Contrast", "busyness": "Busyness",
    "complexity": "Complexity", "strength": "Strength",
}  # fmt: skip
TAGS = {
    **{f"cm_{tag}_2D_comb": f"original_glcm_{name}" for tag, name in GLCM.items()},
    **{f"rlm_{tag}_2D_comb": f"original_glrlm_{name}" for tag, name in GLRLM.items()},
    **{f"szm_{tag}_2D": f"original_glszm_{name}" for tag, name in GLSZM.items()},
    **{f"ngl_{tag}_2D": f"original_gldm_{name}" for tag, name in GLDM.items()},
    **{f"ngt_{tag}_2D": f"original_ngtdm_{name}" for tag, name in NGTDM.items()},
}


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    """Our own extraction, with one bin a grey level of the phantom, averaged over its slices."""
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(IBSI / "phantom.nii.gz")))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(IBSI / "mask.nii.gz"))) == 1
    recipe = RadiomicsRecipe(bin_width=1.0, grey_range=1.0)
    rows = []
    for pixels, region in zip(image, mask, strict=True):
        assert pixels[region].min() == 1  # else a slice's grey levels would be numbered anew
        padded = PreparedSlice(np.pad(pixels, 1).astype(np.float32), np.pad(region, 1), 2.0)
        rows.append(extract_slice(padded, recipe))
    return dict(zip(feature_names(recipe), np.mean(rows, axis=0), strict=True))


@pytest.fixture(scope="module")
def consensus() -> dict[str, str]:
    with (IBSI / "ibsi_1_dig_phantom.csv").open() as stream:
        return {row["tag"]: row["reference value"] for row in csv.DictReader(stream, delimiter=";")}


@pytest.mark.parametrize("tag", TAGS)
def test_texture_is_the_consensus_value(tag, measured, consensus):
    # IBSI prints three significant digits and a tolerance of 0: half a unit of the last one.
    expected = consensus[tag]
    digits = -int(np.floor(np.log10(abs(float(expected))))) + 2
    assert measured[TAGS[tag]] == pytest.approx(float(expected), abs=0.5001 * 10.0**-digits)


def test_every_texture_of_ours_but_the_unstandardised_one_is_covered():
    groups = ("_glcm_", "_glrlm_", "_glszm_", "_gldm_", "_ngtdm_")
    ours = {
        name
        for name in feature_names(RadiomicsRecipe())
        if name.startswith("original_") and any(group in name for group in groups)
    }
    assert ours - set(TAGS.values()) == {"original_glcm_MCC"}
    assert len(ours) - 1 == 74
