"""One patient's folder whose image is a DICOM series, with a mask drawn on it."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from dicom_samples import write_patient

from client.imaging.reading import read_pair, read_volume
from client.reader.patient_folder import read_patient_folder
from common.study import Study

STUDY = Study.model_validate(
    {
        "name": "tiny",
        "sites": [{"name": name, "role": "train"} for name in ("a", "b", "c")],
    }
)


def test_a_dicom_series_counts_as_an_image(tmp_path: Path) -> None:
    write_patient(tmp_path, phases=1, contoured=())
    (tmp_path / "contours").rmdir()
    series = read_volume(tmp_path / "dicom")
    labels = np.zeros(series.array.shape, np.uint8)
    labels[:, 20:40, 25:45] = 2
    mask = sitk.GetImageFromArray(labels)
    mask.SetSpacing(series.spacing)
    mask.SetOrigin(series.origin)
    mask.SetDirection(series.direction)
    sitk.WriteImage(mask, str(tmp_path / "heart_mask.nii.gz"))
    [case] = read_patient_folder(tmp_path, STUDY, 2).cases
    assert case.image == tmp_path / "dicom"
    image, chosen = read_pair(case.image, case.mask, case.frame, 2)
    assert image.array.shape == chosen.shape
    assert chosen.sum() == (labels == 2).sum()
