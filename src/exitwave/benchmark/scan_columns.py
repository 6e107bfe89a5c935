"""Columns of a scan whose strain is known, simulated or real."""

STRAINS = ("projected_xx", "projected_yy", "projected_xy", "projected_rotation")
"""Columns with the strain that the places of disks show, and with the rotation [rad]."""
PLACES = ("scan_column", "scan_row", "scan_x", "scan_y", "layer", "interface_distance", "mistilt")
"""Columns that say where a place is."""
PART = "part"
"""Column with the part of a real scan that a place belongs to."""
PARTS = ("scan_column", "scan_row", "scan_x", "scan_y")
"""Columns that say where a place of a real scan is, in steps."""
REFERENCE, SCORED = "is_reference", "is_scored"
"""Columns that say whether a place belongs to the reference, and whether it is scored."""
