"""`check.py` finds what it is there to find."""

import pathlib
import tempfile
import unittest

import check

MODULE = """
@description('A.')
param first string

@description('B.')
param second string = first

@description('C.')
output third string = '${first}${second}'
"""

MAIN = """
@description('Ids.')
param ids string[]

var lower = map(ids, id => toLower(id))

module one 'module.bicep' = [for (id, index) in lower: {
  params: {
    first: '${id}${index}'
  }
}]

@description('D.')
output all string = one[0].outputs.third
"""

PARAMETERS = "using 'main.bicep'\n\nparam ids = []\n"


class Check(unittest.TestCase):
    def faults(self, main: str = MAIN, module: str = MODULE, parameters: str = PARAMETERS) -> str:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "main.bicep").write_text(main)
            (folder / "module.bicep").write_text(module)
            (folder / "main.bicepparam").write_text(parameters)
            return "\n".join(check.check(folder)[1])

    def test_what_fits_has_no_faults(self) -> None:
        self.assertEqual(self.faults(), "")

    def test_each_fault_is_found(self) -> None:
        for was, becomes, fault in [
            ("first: '", "frist: '", "module.bicep has no param frist"),
            ("first: '", "frist: '", "module.bicep is not passed first"),
            ("outputs.third", "outputs.fourth", "module.bicep has no output fourth"),
            ("module.bicep' =", "other.bicep' =", "there is no other.bicep"),
            ("toLower(id)", "toLower(ids2)", "ids2 is not declared"),
            ("${index}", "${item}", "item is not declared"),
            ("toLower(", "toLowre(", "the function toLowre is not known"),
            ("in lower", "in ids", "var lower is not used"),
            ("@description('Ids.')", "", "param ids has no @description"),
            ("var lower", "var ids", "ids is declared twice"),
            ("  params: {", "  params: (", "main.bicep"),
            ("one[0].outputs.third", "listKeys(lower[0], '1')", "output all may hold a secret"),
            ("= map(", "= ['*', '8e3af657-a8ff-443c-a75c-2fe8c4bcb635'] // (", "names each of its actions"),
            ("= map(", "= ['8e3af657-a8ff-443c-a75c-2fe8c4bcb635'] // (", "none of the built-in roles"),
            ("@description('Ids.')", "@secure()\n@description('Ids.')", "no secret"),
        ]:
            with self.subTest(fault):
                self.assertIn(was, MAIN)
                self.assertIn(fault, self.faults(main=MAIN.replace(was, becomes)))

    def test_faults_of_parameters_are_found(self) -> None:
        self.assertIn("has no param idz", self.faults(parameters=PARAMETERS.replace("ids", "idz")))
        self.assertIn("ids is not set", self.faults(parameters="using 'main.bicep'\n"))
        self.assertIn("it uses no file", self.faults(parameters=PARAMETERS.replace("main.", "mine.")))
