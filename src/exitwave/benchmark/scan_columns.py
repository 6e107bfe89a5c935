"""Columns of the cases of a scan, by which they are judged together."""

STRAINS = ("projected_xx", "projected_yy", "projected_xy", "projected_rotation")
"""Columns with the strain that the places of disks show, and with the rotation [rad]."""
PLACES = ("scan_column", "scan_row", "scan_x", "scan_y", "layer", "interface_distance", "mistilt")
"""Columns that say where a place is."""
REFERENCE, SCORED = "is_reference", "is_scored"
"""Columns that say whether a place belongs to the reference, and whether it is scored."""
