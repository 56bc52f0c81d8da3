"""The detection task of nuScenes: its ten classes, their ranges and attributes (Caesar et al. 2020, appendix A.2)."""

CLASSES = (
    "car",
    "truck",
    "bus",
    "trailer",
    "construction_vehicle",
    "pedestrian",
    "motorcycle",
    "bicycle",
    "traffic_cone",
    "barrier",
)

RANGES = (50.0, 50.0, 50.0, 50.0, 50.0, 40.0, 40.0, 40.0, 30.0, 30.0)
"""For each class, the largest horizontal distance from the ego vehicle in metres at which boxes count."""

RACK = len(CLASSES)
"""Class number of a bicycle rack in the labels. It is not detected; bicycles and motorcycles in it do not count."""

IN_RACKS = (CLASSES.index("motorcycle"), CLASSES.index("bicycle"))

CATEGORIES: dict[str, int | None] = {
    "vehicle.car": 0,
    "vehicle.truck": 1,
    "vehicle.bus.bendy": 2,
    "vehicle.bus.rigid": 2,
    "vehicle.trailer": 3,
    "vehicle.construction": 4,
    "human.pedestrian.adult": 5,
    "human.pedestrian.child": 5,
    "human.pedestrian.construction_worker": 5,
    "human.pedestrian.police_officer": 5,
    "vehicle.motorcycle": 6,
    "vehicle.bicycle": 7,
    "movable_object.trafficcone": 8,
    "movable_object.barrier": 9,
    "static_object.bicycle_rack": RACK,
    "animal": None,
    "human.pedestrian.personal_mobility": None,
    "human.pedestrian.stroller": None,
    "human.pedestrian.wheelchair": None,
    "movable_object.debris": None,
    "movable_object.pushable_pullable": None,
    "vehicle.emergency.ambulance": None,
    "vehicle.emergency.police": None,
}
"""Class of each of the 23 categories of the annotations; None: not part of the task."""

ATTRIBUTES = (
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.moving",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "vehicle.moving",
    "vehicle.parked",
    "vehicle.stopped",
)

_PREFIXES = ("vehicle", "vehicle", "vehicle", "vehicle", "vehicle", "pedestrian", "cycle", "cycle", "none", "none")

ATTRIBUTES_OF = tuple(tuple(a.startswith(prefix) for a in ATTRIBUTES) for prefix in _PREFIXES)
"""For each class, which of `ATTRIBUTES` its objects can have; cones and barriers have none."""

NO_ATTRIBUTE = -1
"""Attribute number of a box without one."""

UNDEFINED: dict[str, tuple[int, ...]] = {
    "mave": (CLASSES.index("traffic_cone"), CLASSES.index("barrier")),
    "maae": (CLASSES.index("traffic_cone"), CLASSES.index("barrier")),
    "maoe": (CLASSES.index("traffic_cone"),),
}
"""Classes over which an error is not averaged: cones and barriers do not move and have no attributes, and a cone has no
orientation."""

HALF_TURN = (CLASSES.index("barrier"),)
"""Classes whose front and back look the same: their yaw has period pi."""
