"""host.json and every function.json by the schemas beside this file: `python3 -m unittest discover tests/schemas`."""

import copy
import json
import pathlib
import unittest
from typing import Any

import jsonschema

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]

TIMER = {"type": "timerTrigger", "direction": "in", "name": "timer", "schedule": "0 */5 * * * *"}
HTTP = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "function", "methods": ["post"]}
ANSWER = {"type": "http", "direction": "out", "name": "res"}
EVENT = {"type": "eventGridTrigger", "direction": "in", "name": "event"}
RETRY = {"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:30"}


def read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text())


def schema(name: str) -> jsonschema.Draft202012Validator:
    of_name = read(HERE / f"{name}.schema.json")
    jsonschema.Draft202012Validator.check_schema(of_name)
    return jsonschema.Draft202012Validator(of_name)


class Schemas(unittest.TestCase):
    def test_the_files_are_what_the_host_reads(self) -> None:
        schema("host").validate(read(ROOT / "host.json"))
        functions = list(ROOT.glob("*/function.json"))
        self.assertGreaterEqual(len(functions), 2)
        for path in functions:
            schema("function").validate(read(path))
            # The host's rule for the names of folders.
            self.assertRegex(path.parent.name, r"^[A-Za-z][A-Za-z0-9_-]{0,127}$")
            self.assertNotEqual(path.parent.name.lower(), "host")

    def test_other_functions_are_told_apart(self) -> None:
        function = schema("function")
        for good in [{"bindings": [TIMER], "retry": RETRY}, {"bindings": [HTTP, ANSWER]}, {"bindings": [EVENT]}]:
            function.validate(good)
        for bad in [
            {},
            {"bindings": []},
            {"bindings": [ANSWER]},
            {"bindings": [TIMER, EVENT]},
            {"bindings": [EVENT], "retry": RETRY},
            {"bindings": [TIMER | {"direction": "out"}]},
            {"bindings": [TIMER | {"schedule": "0 */5"}]},
            {"bindings": [TIMER | {"runOnStartup": True}]},
            {"bindings": [TIMER | {"shedule": "x"}]},
            {"bindings": [HTTP | {"authLevel": "anonymous"}]},
            {"bindings": [TIMER], "retry": RETRY | {"delayInterval": "30s"}},
            {"bindings": [TIMER], "scriptFile": "x"},
        ]:
            with self.subTest(bad):
                self.assertFalse(function.is_valid(bad))

    def test_another_host_json_is_refused(self) -> None:
        host = schema("host")
        for path, value in [
            (["version"], "3.0"),
            (["functionTimeout"], "00:10:01"),
            (["functionTimout"], "00:10:00"),
            (["extensionBundle", "version"], "[3.*, 4.0.0)"),
            (["customHandler", "description", "defaultExecutablePath"], "./signalr-rekey"),
            (["customHandler", "description", "defaultExecutablePath"], "%HANDLER%"),
            (["customHandler", "description", "arguments"], ["handler --quietly"]),
            (["customHandler", "enableForwardingHttpRequest"], True),
            (["logging", "logLevel", "default"], "Info"),
        ]:
            with self.subTest(path):
                changed = copy.deepcopy(read(ROOT / "host.json"))
                at = changed
                for name in path[:-1]:
                    at = at[name]
                at[path[-1]] = value
                self.assertFalse(host.is_valid(changed))
