"""Check what the lock brings in: known faults, hashes, licences. `make audit` runs it.

A licence passes where a program under MIT may ask for a package under it: it need not be copied
into ours, and files of ours do not fall under it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK, PAGE = ROOT / "requirements.lock", ROOT / "results" / "licences.md"
PASSES = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|HPND|CMU|MPL|Mozilla|Unlicense|"
    r"LGPL|Zlib|CC0|Historical Permission|Lesser General)",
    re.I,
)
REFUSED = re.compile(r"\b(A?GPL|(Affero )?General Public)", re.I)
_LESSER = re.compile(r"\bLGPL\S*|Lesser General Public", re.I)
# Packages whose metadata name no licence, or whose words need reading; looked up by hand.
KNOWN = {"namex": "Apache-2.0"}  # github.com/fchollet/namex
_HEAD = """# Licences of the locked packages

Written by `make audit` from the packages' own metadata. Nothing of them is copied into this
repository; each licence lets a program under MIT ask for the package.

| package | version | licence |
|---|---|---|
"""


def locked() -> dict[str, str]:
    """Return {package: version} of the lock."""
    text = LOCK.read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)", text, re.M))


def licence(name: str) -> str:
    """Return the licence of an installed package in a few words; "" where it says none."""
    about = metadata.metadata(name)
    if about["License-Expression"]:
        return about["License-Expression"]
    kinds = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or () if "License ::" in c]
    kinds = [kind for kind in kinds if kind != "OSI Approved"]
    text = (about["License"] or "").strip().split("\n")[0]
    return KNOWN.get(name, "; ".join(kinds) or text[:60])


def table() -> tuple[str, list[str]]:
    """Return the page of all licences, and what is wrong with any."""
    rows, faults = [], []
    for name, version in sorted(locked().items()):
        try:
            words = licence(name)
        except metadata.PackageNotFoundError:
            words = "not installed here: for another system, or an extra"
        else:
            if not PASSES.search(words) or REFUSED.search(_LESSER.sub("", words)):
                faults.append(f"{name}: licence {words!r} is not known to pass")
        rows.append(f"| {name} | {version} | {words} |")
    return _HEAD + "\n".join(rows) + "\n", faults


def audit() -> int:
    """Look known faults up; where that cannot be had, say so and check the lock alone."""
    command = shlex.split(os.environ.get("AUDIT", "pipx run pip-audit==2.10.1"))
    command += ["--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--strict"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        status, said = done.returncode, (done.stdout + done.stderr).strip() or "nothing"
    except OSError as error:
        status, said = 1, f"{command[0]}: {error.strerror}"
    reached = status == 0 or re.search(r"^Found \d+ known", said, re.M)
    print(said if reached else f"known faults not looked up: {said.splitlines()[-1]}")
    text, faults = table()
    PAGE.write_text(text, encoding="utf-8")
    hashed = re.split(r"^(?=[a-z0-9])", LOCK.read_text(encoding="utf-8"), flags=re.M)[1:]
    faults += [f"{b.split()[0]}: has no hash" for b in hashed if "--hash=sha256:" not in b]
    print(*faults, f"{PAGE.relative_to(ROOT)}: {len(locked())} packages", sep="\n")
    return int(bool(faults or (reached and status)))


if __name__ == "__main__":
    sys.exit(audit())
