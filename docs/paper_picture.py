"""Draw docs/studies/hrtem.jpg: scores of config/studies/paper_coarse.yaml, by what each figure of the paper varies.

.venv/bin/python docs/paper_picture.py [FOLDER OF RESULTS]
"""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from exitwave.report.style import BLUE, ORANGE, figure

STUDY = "paper_coarse"
SCORE = "f1_pooled"
PANELS = {
    "Table 1: dataset": {
        "Baseline": "baseline",
        "Thermal": "thermal",
        "All effects": "all_effects",
        "Smaller NPs": "smaller",
        "Varying substrate": "varying_substrate",
        "Optimized Au": "optimized_au",
        "Optimized mixed": "optimized_mixed",
        "Optimized CdSe": "optimized_cdse",
    },
    "Fig. 4a: images": {str(number): f"any[size={number}]" for number in (64, 256, 512)},
    "Fig. 4b: dose [e⁻/Å²]": {
        "100": "dose_variation_at_dose[dose=100]",
        "300": "thermal_at_dose[dose=300]",
        "600": "dose_variation_at_dose[dose=600]",
        "1200": "thermal_at_dose[dose=1200]",
    },
    "Fig. 5: effects, at 300 e⁻/Å²": {
        "none": "baseline_at_300[dose=300]",
        "aberrations": "aberrations_at_300[dose=300]",
        "plasmons": "plasmons_at_300[dose=300]",
        "aberrations, plasmons": "aberrations_plasmons_at_300[dose=300]",
        "thermal": "thermal_at_dose[dose=300]",
        "thermal, aberrations": "thermal_aberrations_at_300[dose=300]",
        "thermal, plasmons": "thermal_plasmons_at_300[dose=300]",
        "all": "all_effects_at_300[dose=300]",
    },
    "Fig. 6: diversity": {
        "1 thickness": "one_thickness",
        "5 thicknesses": "five_thicknesses",
        "any thickness": "varying_substrate",
        "1 focal point": "fewer_focal_points",
        "48 structures": "fewer_structures",
        "11 points, 192 structures": "smaller",
        "1 thickness, fast": "one_thickness_fast",
        "any thickness, fast": "varying_substrate_fast",
        "11 points, fast": "smaller_fast",
    },
    "Suppl. fig. 11: radius [Å]": {
        "7.5-12.5": "small_particles",
        "15-35": "medium_particles",
        "30-50": "one_thickness",
    },
}


def drawn(axes: Axes, title: str, names: dict[str, str], scores: dict[str, pd.DataFrame]) -> None:
    """A row for each condition: the median of three networks, and their range, by benchmark."""
    for (benchmark, table), colour, shift in zip(scores.items(), (ORANGE, BLUE), (-0.15, 0.15), strict=True):
        rows = table.loc[list(names.values())]
        for place, (low, high) in enumerate(zip(rows[f"{SCORE}_seed_min"], rows[f"{SCORE}_seed_max"], strict=True)):
            axes.plot((low, high), (place + shift,) * 2, color=colour, lw=2, alpha=0.5)
        axes.plot(rows[SCORE], [place + shift for place in range(len(rows))], "o", ms=5, color=colour, label=benchmark)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9)
    axes.grid(axis="x")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results") / "report" / STUDY / "benchmarks"
    scores = {}
    for label, name in (("patches, real", "scottlab"), ("held out, simulated", "held_out")):
        (path,) = folder.glob(f"{name}-*/summary.parquet")
        table = pd.read_parquet(path)
        scores[label] = table[table["kind"] == "network"].set_index("method")
    path = Path(__file__).parent / "studies/hrtem.png"
    with figure(path, 10, 9.5) as drawing:
        axes = drawing.subplots(3, 2, sharex=True).ravel()
        for one, (title, names) in zip(axes, PANELS.items(), strict=True):
            drawn(one, title, names, scores)
        axes[0].legend(fontsize=8, loc="lower left")
        for one in axes[-2:]:
            one.set_xlabel("F1, pooled: median and range of three networks")
    Image.open(path).convert("RGB").save(path.with_suffix(".jpg"), quality=85)
    path.unlink()


if __name__ == "__main__":
    main()
