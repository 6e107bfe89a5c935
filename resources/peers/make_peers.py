"""Pack published networks of others in one file; from the root:

python resources/peers/make_peers.py FOLDER

where FOLDER holds their weights as .npz and the authors' model_details.csv; see README.md beside this script.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from exitwave.training.bundle import save_bundle
from exitwave.training.peers import find_peers, unpack_peers

BUNDLE = Path(__file__).with_name("scottlab.safetensors")


def main(folder: Path) -> None:
    peers = find_peers(folder)
    told = {peer.dataset: peer.told for peer in peers}
    with TemporaryDirectory() as unpacked:
        folders = unpack_peers(peers, Path(unpacked))
        save_bundle(BUNDLE, {dataset: (told[dataset], found, {}) for dataset, found in folders.items()})
    print(f"{BUNDLE}: {len(peers)} networks, {BUNDLE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
