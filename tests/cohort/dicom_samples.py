"""A tiny Sunnybrook: DICOM cines with contours, file names that say nothing."""

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SHAPE = (64, 72)
TURN = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)  # rows run along y, columns along -z: the slices stack on -x
PITCH = 8.0


def write_frame(file, instance, position, time, pixels, series="1.2.3", patient="DOE^JANE"):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    held = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    held.SOPClassUID = meta.MediaStorageSOPClassUID
    held.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    held.SeriesInstanceUID = series
    held.PatientName, held.PatientID = patient, patient
    held.Manufacturer, held.ManufacturerModelName = "GE", "SIGNA"
    held.MagneticFieldStrength = "1.5"
    held.Modality = "MR"
    held.InstanceNumber = instance
    held.ImagePositionPatient = [float(v) for v in position]
    held.ImageOrientationPatient = list(TURN)
    held.PixelSpacing = [1.5, 1.25]  # between rows, between columns
    held.SliceThickness = PITCH
    if time is not None:
        held.TriggerTime = time
    held.Rows, held.Columns = pixels.shape
    held.BitsAllocated = held.BitsStored = 16
    held.HighBit, held.PixelRepresentation, held.SamplesPerPixel = 15, 0, 1
    held.PhotometricInterpretation = "MONOCHROME2"
    held.PixelData = pixels.astype(np.uint16).tobytes()
    pydicom.dcmwrite(file, held, enforce_file_format=True)


def circle(centre, radius, count=200):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack(
        [centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1
    )


def frame_pixels(z, phase, seed=0, centre=(40, 30)):
    rng = np.random.default_rng((seed, z, phase))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    away = np.hypot(x - centre[0], y - centre[1])
    values = np.where(away < 8, 300, np.where(away < 13, 120, 60))
    return np.rint(values + 1000 * z + 10 * phase + rng.normal(0, 4, SHAPE)).clip(0)


def write_patient(folder, slices=4, phases=3, contoured=(0, 1, 2, 3), seed=0):
    """Write a cine whose instance numbers and file names are shuffled; ED is the last phase.

    Gives the instance number of each slice's end-diastolic frame.
    """
    rng = np.random.default_rng(seed)
    (folder / "dicom").mkdir(parents=True)
    (folder / "contours").mkdir()
    normal = np.cross(TURN[:3], TURN[3:])
    numbers = rng.permutation(slices * phases) + 1
    names = rng.permutation(slices * phases)
    diastole = {}
    for z in range(slices):
        for phase in range(phases):
            at = z * phases + phase
            position = np.array([5.0, -20.0, 30.0]) + z * PITCH * normal
            write_frame(
                folder / "dicom" / f"{names[at]:03d}.dcm",
                int(numbers[at]),
                position,
                100.0 * phase,
                frame_pixels(z, phase, seed),
            )
        diastole[z] = int(numbers[z * phases + phases - 1])
    for z in contoured:
        write_contour(folder, diastole[z], "i", circle((40, 30), 8))
        write_contour(folder, diastole[z], "o", circle((40, 30), 13))
    return diastole


def write_contour(folder, number, kind, points):
    file = folder / "contours" / f"IM-0001-{number:04d}-{kind}contour-manual.txt"
    np.savetxt(file, points, fmt="%.2f")
    return file
