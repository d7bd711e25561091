"""Write the generated sample corpora as csv files, to look at or to try ``data=files`` with.

python scripts/write_samples.py FOLDER
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from lstm_readout.data.samples import sample

CORPORA = {"reviews": ("text", "label"), "dates": ("source", "target"), "grammar": ("text",)}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, roles in CORPORA.items():
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)  # fails where something is already: nothing is overwritten
        for split, columns in sample(roles).splits.items():
            with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(roles)
                writer.writerows(zip(*(columns[role] for role in roles), strict=True))
        print(f"{folder}: python train.py data=files data.path={folder}")


if __name__ == "__main__":
    main()
