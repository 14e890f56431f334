"""Image data for the bridge: reading, fetching and checking image sets, and long-tailed subsets of them (NumPy)."""

from dynsim.bridge.data.groups import CLASS_GROUPS, groups_by_rank, groups_by_size
from dynsim.bridge.data.images import DataError, ImageSet
from dynsim.bridge.data.lists import ImageList, load_list, read_list
from dynsim.bridge.data.profiles import class_counts
from dynsim.bridge.data.source import data_folder, load_images, why_absent
from dynsim.bridge.data.splits import Split, make_split, released_split

__all__ = [
    "CLASS_GROUPS",
    "DataError",
    "ImageList",
    "ImageSet",
    "Split",
    "class_counts",
    "data_folder",
    "groups_by_rank",
    "groups_by_size",
    "load_images",
    "load_list",
    "make_split",
    "read_list",
    "released_split",
    "why_absent",
]
