"""Checks the binary that is deployed, lays the package out and zips it: `assemble.py TARGET GLIBC`; see `build`."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]

LARGEST = 11_000_000
"""Bytes of the binary. A cold start fetches and unpacks it, so that it grows is to be noticed, and argued for here: it
was 7.9 million before keys in any text and in Key Vault were followed, which took 0.35, and 8.2 before App
Configuration, Container Apps, Static Web Apps, the agent, reports, and windows with their time zones, which took 1.2 to
9.4. Waves, approvals, `home` and the status page took 1.1 more (10,456,544 on x86-64), evidence and `report` 0.9
(11,356,888). Optimised for size alone, and without what dependencies say to nobody, it has 10,694,040, with metrics
and tags."""

LIBRARIES = re.compile(r"lib(c|m|dl|pthread|rt)\.so\.\d|ld-linux-(x86-64|aarch64)\.so\.\d")
"""All of glibc, so that they are wherever it is."""

DEVELOPMENT = ["/sim/report", "Written by signalr-rekey simulate", "PlantedKeyOf84Characters"]
"""Texts of the embedded Azure and of the fuzzing, which are not to be deployed."""

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can tell: every entry has it."""


class Unfit(Exception):
    """What must not be deployed, and why."""


def check_elf(told: str, glibc: str) -> str:
    """Judges what readelf told of the binary; answers it in a line."""
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", told)
    strange = [library for library in needed if not LIBRARIES.fullmatch(library)]
    if strange:
        raise Unfit(f"it needs {', '.join(strange)}")
    versions = sorted(set(re.findall(r"Name: (\S+) +Flags", told)), key=numbers)
    newer = [version for version in versions if not is_within(version, glibc)]
    if newer or not versions:
        raise Unfit(f"it needs {', '.join(newer) or 'no known libc'}, and may need glibc {glibc} at most")
    if re.search(r"\] \.(symtab|debug_info) ", told):
        raise Unfit("it is not stripped")
    return f"{versions[-1]}; {', '.join(needed)}"


def numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def is_within(version: str, glibc: str) -> bool:
    return version.startswith("GLIBC_") and numbers(version) <= numbers(glibc)


def check_contents(binary: bytes, root: pathlib.Path) -> None:
    """Looks for what is only for development in the binary, by texts that sources have: else it would look for nothing."""
    sources = [path for folder in ("src", "crates", "fuzz/src") for path in (root / folder).rglob("*.rs")]
    code = "".join(path.read_text() for path in sources)
    for text in DEVELOPMENT:
        if text not in code:
            raise Unfit(f"{text!r} is in no source any more; look for something else")
        if text.encode() in binary:
            raise Unfit(f"it holds {text!r}, which is for development")
    if len(binary) > LARGEST:
        raise Unfit(f"it has {len(binary)} bytes, and may have {LARGEST}")


def contents(root: pathlib.Path) -> list[str]:
    """The files of the package but for the binary, by `contents.txt`."""
    lines = (root / "package" / "contents.txt").read_text().splitlines()
    patterns = [line.removeprefix("/") for line in lines if line and not line.startswith("#")]
    found = {pattern: sorted(root.glob(pattern)) for pattern in patterns if pattern != executable(root)}
    missing = [pattern for pattern, files in found.items() if not files]
    if missing or executable(root) not in patterns:
        raise Unfit(f"contents.txt and the files do not fit: {missing or executable(root)}")
    return [file.relative_to(root).as_posix() for files in found.values() for file in files]


def executable(root: pathlib.Path) -> str:
    """Its path, to the letter as host.json has it: who publishes makes that entry executable, and no other."""
    return json.loads((root / "host.json").read_text())["customHandler"]["description"]["defaultExecutablePath"]


def lay_out(root: pathlib.Path, binary: pathlib.Path, app: pathlib.Path) -> None:
    """Makes the folder that is uploaded, anew."""
    shutil.rmtree(app, ignore_errors=True)
    for name, source in [(executable(root), binary), *((name, root / name) for name in contents(root))]:
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, app / name)
        (app / name).chmod(0o755 if name == executable(root) else 0o644)


def pack(app: pathlib.Path, to: pathlib.Path) -> None:
    """Zips a folder. Order, times, modes and maker are the same everywhere; only another zlib packs otherwise."""
    with zipfile.ZipFile(to, "w") as archive:
        for name in sorted(path.relative_to(app).as_posix() for path in app.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system = 3  # Unix; else the modes are not looked at.
            mode = 0o755 if os.access(app / name, os.X_OK) else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, (app / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)


def main(target: str, glibc: str) -> None:
    binary = ROOT / "target" / target / "deployed" / executable(ROOT)
    out = ROOT / "target" / "package" / target
    readelf = ["readelf", "--wide", "--dynamic", "--version-info", "--section-headers", binary]
    told = subprocess.run(readelf, check=True, capture_output=True, text=True).stdout
    needs = check_elf(told, glibc)
    check_contents(binary.read_bytes(), ROOT)
    lay_out(ROOT, binary, out / "app")
    archive = out / f"{executable(ROOT)}.zip"
    pack(out / "app", archive)
    print(f"{target}: needs {needs}; {binary.stat().st_size} bytes, zipped {archive.stat().st_size}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Unfit as unfit:
        sys.exit(f"not to be deployed: {unfit}")
