"""The study's sections on images, as the values that this package works with."""

from __future__ import annotations

from client.imaging.preprocess import Preprocessing
from client.imaging.radiomics import RadiomicsRecipe
from common import study_tables


def preprocessing_of(section: study_tables.Preprocessing) -> Preprocessing:
    """Translate the study's preprocessing."""
    return Preprocessing(**section.model_dump())


def radiomics_of(section: study_tables.Radiomics) -> RadiomicsRecipe:
    """Translate the study's radiomics recipe."""
    return RadiomicsRecipe(**section.model_dump())
