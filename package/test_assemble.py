"""`assemble.py` refuses what it is there to refuse, and packs the same bytes twice.

`python3 -m unittest discover package` runs it."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

import assemble

NEEDS = """
  [ 1] .interp           PROGBITS        0000000000000318 000318 00001c 00   A  0   0  1
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
  0x0010:   Name: GLIBC_2.9  Flags: none  Version: 3
  0x0020:   Name: GLIBC_2.28  Flags: none  Version: 2
"""


class Elf(unittest.TestCase):
    def test_what_starts_everywhere_passes(self) -> None:
        self.assertEqual(assemble.check_elf(NEEDS, "2.28"), "GLIBC_2.28; libc.so.6")

    def test_a_newer_glibc_is_refused_and_versions_are_no_decimals(self) -> None:
        with self.assertRaisesRegex(assemble.Unfit, r"needs GLIBC_2\.28, and may need glibc 2\.9 at most"):
            assemble.check_elf(NEEDS, "2.9")

    def test_other_libraries_versions_and_symbols_are_refused(self) -> None:
        for more in ["(NEEDED) Shared library: [libssl.so.3]", "Name: GCC_3.0  Flags: none", "[30] .symtab  SYMTAB"]:
            with self.assertRaises(assemble.Unfit, msg=more):
                assemble.check_elf(NEEDS + more, "2.28")
        with self.assertRaises(assemble.Unfit, msg="readelf may have changed its words"):
            assemble.check_elf("", "2.28")

    def test_a_program_of_this_machine_is_read(self) -> None:
        readelf = ["readelf", "--wide", "--dynamic", "--version-info", "--section-headers", "/bin/ls"]
        told = subprocess.run(readelf, check=True, capture_output=True, text=True).stdout
        with self.assertRaisesRegex(assemble.Unfit, "needs lib|needs GLIBC"):
            assemble.check_elf(told, "2.2")


class Package(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.binary = self.folder / "built"
        self.binary.write_bytes(b"\x7fELF")

    def packed(self, name: str) -> pathlib.Path:
        assemble.lay_out(assemble.ROOT, self.binary, self.folder / name)
        assemble.pack(self.folder / name, self.folder / f"{name}.zip")
        return self.folder / f"{name}.zip"

    def test_two_runs_are_the_same_to_the_byte(self) -> None:
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        one = self.packed("one")
        os.umask(0)
        self.binary.chmod(0o600)
        os.utime(self.binary, (2_000_000_000, 2_000_000_000))
        self.assertEqual(one.read_bytes(), self.packed("two").read_bytes())

    def test_the_binary_alone_is_executable(self) -> None:
        with zipfile.ZipFile(self.packed("app")) as archive:
            entries = archive.infolist()
        names = [entry.filename for entry in entries]
        self.assertEqual(names, sorted(["signalr-rekey", *assemble.contents(assemble.ROOT)]))
        for entry in entries:
            mode = 0o100755 if entry.filename == "signalr-rekey" else 0o100644
            self.assertEqual((entry.create_system, entry.external_attr >> 16), (3, mode), entry.filename)

    def test_the_embedded_azure_and_a_large_binary_are_refused(self) -> None:
        assemble.check_contents(b"\x7fELF", assemble.ROOT)
        for bad in [b"..GET /sim/report..", bytes(assemble.LARGEST + 1)]:
            with self.assertRaises(assemble.Unfit):
                assemble.check_contents(bad, assemble.ROOT)
        with self.assertRaisesRegex(assemble.Unfit, "look for something else"):
            assemble.check_contents(b"\x7fELF", self.folder)


if __name__ == "__main__":
    sys.exit("python3 -m unittest discover package")
