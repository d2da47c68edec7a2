"""The sixteen myocardial segments of short-axis slices, by name, and what a sum over them holds.

After Cerqueira et al., Circulation 2002;105:539 (the American Heart Association's model); the
seventeenth, the apical cap, is on no short-axis slice.
"""

from __future__ import annotations

from typing import Final

BASAL, MIDDLE, APICAL = 0, 1, 2
"""The thirds of the left ventricle's long axis."""

_SIX: Final = (
    "anterior",
    "anteroseptal",
    "inferoseptal",
    "inferior",
    "inferolateral",
    "anterolateral",
)

SEGMENTS: Final = (
    *(f"basal {name}" for name in _SIX),
    *(f"mid {name}" for name in _SIX),
    *(f"apical {name}" for name in ("anterior", "septal", "inferior", "lateral")),
)
"""Names of segments 1 to 16, in the order of their numbers."""

ATTENTION_SHAPES: Final = {
    "classes": (2,),
    "seen": (2, len(SEGMENTS)),
    "heat": (2, len(SEGMENTS)),
}
"""Shapes of the arrays of an answer on attention: patients of each class; for each class and
segment how many of them have it on a slice, and the sum of their heat there. Negative class first.
"""
