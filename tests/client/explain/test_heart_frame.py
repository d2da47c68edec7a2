"""The myocardium's coordinates, on a ring with a right ventricle whose place is known."""

from __future__ import annotations

import numpy as np
import pytest

from client.explain.heart_frame import HeartFrame, heart_frame, long_axis_thirds, segments
from common.aha import APICAL, BASAL, MIDDLE, SEGMENTS

SIDE, CENTRE = 121, 60.0
LEFT, WALL, RIGHT = 1, 2, 3
PLAIN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def heart(septum: float = 180.0, slices: int = 3, outer: float = 30.0) -> np.ndarray:
    """A stack (z, y, x) of rings; the right ventricle hugs 120 degrees around `septum`."""
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(y - CENTRE, x - CENTRE)
    angle = np.degrees(np.arctan2(y - CENTRE, x - CENTRE))
    beside = np.abs((angle - septum + 180) % 360 - 180) < 60
    one = np.zeros((SIDE, SIDE), np.uint8)
    one[away < outer] = WALL
    one[away < outer - 10] = LEFT
    one[(away >= outer) & (away < outer + 15) & beside] = RIGHT
    return np.repeat(one[None], slices, axis=0)


def at(found: np.ndarray, degrees: float, radius: float = 25.0) -> str:
    """The segment that a ray from the centre meets; 0 to the right, 90 down."""
    y = round(CENTRE + radius * np.sin(np.radians(degrees)))
    x = round(CENTRE + radius * np.cos(np.radians(degrees)))
    return SEGMENTS[found[y, x]]


def test_a_heart_as_it_is_shown_has_its_walls_where_a_reader_expects_them() -> None:
    labels = heart()
    frame = heart_frame(labels, WALL, (1.0, 1.0), PLAIN)
    assert abs(np.degrees(frame.septum)) == pytest.approx(180.0, abs=1.0)
    assert frame.from_right_ventricle
    found = segments(labels[1] == WALL, MIDDLE, frame)
    # Up is anterior (-90), left is the septum (180), down is inferior (90), right is lateral (0).
    assert at(found, -90) == "mid anterior"
    assert at(found, -150) == "mid anteroseptal"
    assert at(found, 150) == "mid inferoseptal"
    assert at(found, 90) == "mid inferior"
    assert at(found, 30) == "mid inferolateral"
    assert at(found, -30) == "mid anterolateral"
    apex = segments(labels[1] == WALL, APICAL, frame)
    expected = {-90: "anterior", 180: "septal", 90: "inferior", 0: "lateral"}
    assert {d: at(apex, d) for d in expected} == {d: f"apical {n}" for d, n in expected.items()}
    assert at(segments(labels[1] == WALL, BASAL, frame), -90) == "basal anterior"


def test_the_anterior_insertion_parts_the_anterior_from_the_anteroseptal_segment() -> None:
    labels = heart(septum=170.0)
    frame = heart_frame(labels, WALL, (1.0, 1.0), PLAIN)
    found = segments(labels[0] == WALL, BASAL, frame)
    insertion = 170.0 + 60.0
    assert at(found, insertion - 4) == "basal anteroseptal"
    assert at(found, insertion + 4) == "basal anterior"


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_segments_turn_with_the_image_and_its_header(quarter: int) -> None:
    """A quarter turn of the pixels, with the axes in the header turned as well: the same walls."""
    labels = heart(septum=160.0)
    frame = heart_frame(labels, WALL, (1.0, 1.0), PLAIN)
    found = segments(labels[0] == WALL, BASAL, frame)
    turned = np.rot90(labels, quarter, axes=(1, 2))
    axes = np.eye(3)
    for _ in range(quarter):  # rot90 takes the new x axis from the old -y... column by column
        axes = np.stack([axes[:, 1], -axes[:, 0], axes[:, 2]], axis=1)
    own = heart_frame(turned, WALL, (1.0, 1.0), tuple(axes.ravel()))
    again = np.rot90(segments(turned[0] == WALL, BASAL, own), -quarter)
    assert (again == found).mean() > 0.995


def test_a_mirrored_image_with_its_header_has_the_same_walls() -> None:
    labels = heart(septum=160.0)
    found = segments(labels[0] == WALL, BASAL, heart_frame(labels, WALL, (1.0, 1.0), PLAIN))
    axes = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    own = heart_frame(labels[:, :, ::-1], WALL, (1.0, 1.0), axes)
    again = segments(labels[0, :, ::-1] == WALL, BASAL, own)[:, ::-1]
    assert (again == found).mean() > 0.995


def test_ventricles_are_told_by_their_place_not_by_their_numbers() -> None:
    labels = heart(septum=150.0)
    swapped = labels.copy()
    swapped[labels == LEFT], swapped[labels == RIGHT] = RIGHT, LEFT
    one, other = (heart_frame(each, WALL, (1.0, 1.0), PLAIN) for each in (labels, swapped))
    assert one == other


def test_without_a_right_ventricle_the_septum_is_assumed_at_the_left() -> None:
    labels = heart()
    labels[labels == RIGHT] = 0
    frame = heart_frame(labels, WALL, (1.0, 1.0), PLAIN)
    assert not frame.from_right_ventricle
    assert abs(np.degrees(frame.septum)) == pytest.approx(180.0)
    assert at(segments(labels[0] == WALL, MIDDLE, frame), -90) == "mid anterior"
    only_wall = np.where(labels == WALL, WALL, 0)
    assert not heart_frame(only_wall, WALL, (1.0, 1.0), PLAIN).from_right_ventricle


def test_a_right_ventricle_apart_from_the_wall_shows_the_way_by_its_centre() -> None:
    labels = heart()
    labels[labels == RIGHT] = 0
    labels[:, 20:30, 2:12] = RIGHT
    frame = heart_frame(labels, WALL, (1.0, 1.0), PLAIN)
    expected = np.degrees(np.arctan2(24.5 - CENTRE, 6.5 - CENTRE))
    assert np.degrees(frame.septum) == pytest.approx(expected, abs=1.0)


def test_all_of_the_ring_and_nothing_else_has_a_segment_and_all_are_as_large() -> None:
    labels = heart()
    wall = labels[0] == WALL
    for third, first, count in ((BASAL, 0, 6), (MIDDLE, 6, 6), (APICAL, 12, 4)):
        found = segments(wall, third, HeartFrame(2.9, 1, True))
        assert ((found >= 0) == wall).all()
        areas = np.bincount(found[wall], minlength=16)
        assert not areas[:first].any()
        assert not areas[first + count :].any()
        share = areas[first : first + count] / wall.sum()
        assert share == pytest.approx(np.full(count, 1 / count), rel=0.06)
    assert (segments(np.zeros_like(wall), BASAL, HeartFrame(0.0, 1, True)) == -1).all()


def test_a_thick_septum_does_not_move_the_centre() -> None:
    labels = heart()[0]
    thick = labels.copy()
    y, x = np.mgrid[:SIDE, :SIDE]
    bulge = np.hypot(y - CENTRE, x - (CENTRE - 30)) < 10
    thick[bulge & (labels != LEFT)] = WALL
    frame = HeartFrame(np.pi, 1, True)
    plain, bulged = (segments(one == WALL, MIDDLE, frame) for one in (labels, thick))
    both = (plain >= 0) & (bulged >= 0)
    assert (plain[both] == bulged[both]).all()


def test_thirds_run_from_the_wide_end_to_the_narrow_one() -> None:
    wide_to_narrow = np.concatenate([heart(slices=1, outer=r) for r in (34, 32, 30, 28, 24, 20)])
    wall = wide_to_narrow == WALL
    assert long_axis_thirds(wall).tolist() == [0, 0, 1, 1, 2, 2]
    assert long_axis_thirds(wall[::-1]).tolist() == [2, 2, 1, 1, 0, 0]
    padded = np.concatenate([wall[:1] & False, wall, wall[:1] & False])
    assert long_axis_thirds(padded).tolist() == [-1, 0, 0, 1, 1, 2, 2, -1]
    assert long_axis_thirds(wall[:2]).tolist() == [MIDDLE, MIDDLE]
