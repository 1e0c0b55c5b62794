from ipaddress import IPv4Network
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloison.evidence.layout import WIDTH, Box, Column, columns_of, lay_out
from cloison.evidence.picture import Picture, PictureCable, PictureEquipment, PictureSite
from cloison.model import EquipmentName, Name


def site(name: str, cameras: int, hosts: int, *, pole: bool = True) -> PictureSite:
    def full(equipment: str) -> EquipmentName:
        return EquipmentName(f"{name}/{equipment}")

    kinds = {"firewall": "firewall", "core-switch": "switch"}
    cables = [("firewall", "core-switch")]
    far = "pole-switch" if pole else "core-switch"
    if pole:
        kinds["pole-switch"] = "unmanaged-switch"
        cables.append(("core-switch", "pole-switch"))
    for number in range(cameras):
        kinds[f"camera-{number}"] = "camera"
        cables.append((f"camera-{number}", far))
    for number in range(hosts):
        kinds[f"host-{number}"] = "recorder"
        cables.append(("core-switch", f"host-{number}"))
    return PictureSite(
        name=Name(name),
        title=name,
        prefix=IPv4Network("10.56.1.0/24"),
        equipment=tuple(PictureEquipment(name=full(item), kind=Name(kind)) for item, kind in kinds.items()),
        cables=tuple(PictureCable(ends=(full(one), full(two)), vlans=(110,)) for one, two in cables),
    )


def test_columns_follow_from_the_cables() -> None:
    found = columns_of(site("town", 2, 1))
    assert {str(name.equipment): column for name, column in found.items()} == {
        "firewall": Column.FIREWALL,
        "core-switch": Column.CORE,
        "pole-switch": Column.POLE,
        "camera-0": Column.FIELD,
        "camera-1": Column.FIELD,
        "host-0": Column.HOSTS,
    }


def test_cameras_on_the_core_switch_are_among_the_hosts() -> None:
    found = columns_of(site("town", 1, 0, pole=False))
    assert found[EquipmentName("town/camera-0")] is Column.HOSTS


def overlap(one: Box, two: Box) -> bool:
    return one.x < two.right and two.x < one.right and one.y < two.bottom and two.y < one.bottom


def within(inner: Box, outer: Box) -> bool:
    return outer.x <= inner.x and inner.right <= outer.right and outer.y <= inner.y and inner.bottom <= outer.bottom


SIZES = st.tuples(st.integers(0, 6), st.integers(0, 8), st.booleans())


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(SIZES, max_size=4))
def test_no_box_covers_another_and_all_are_in_their_frames(sizes: list[tuple[int, int, bool]]) -> None:
    sites = tuple(site(f"s{n}", cameras, hosts, pole=pole) for n, (cameras, hosts, pole) in enumerate(sizes))
    outside = (PictureEquipment(name=EquipmentName("wan/rogue-laptop"), kind=Name("rogue-laptop")),)
    found = lay_out(Picture(sites=sites, tunnels=(), outside=outside))
    whole = Box(0, 0, WIDTH, found.height)
    for one, two in combinations(found.equipment.values(), 2):
        assert not overlap(one, two)
    for one, two in combinations(found.sites.values(), 2):
        assert not overlap(one, two)
    for name, box in found.equipment.items():
        assert within(box, found.sites.get(name.site, whole))
    assert all(within(frame, whole) for frame in found.sites.values())
