"""Checks Bicep files against each other: `check.py FOLDER`. Start at `main`.

tree-sitter-bicep tells names from texts and gives every place in a file; pycep, an independent grammar, is the stricter
about syntax. Names and their passing on between files are followed here.
"""

import pathlib
import re
import sys
from collections.abc import Iterator

import pycep
import tree_sitter
import tree_sitter_bicep

BUILT_IN_ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}
"""All that may be assigned besides the roles that are made here. Owner, Contributor and the like are not among them."""

FUNCTIONS = set(
    """bool concat contains empty filter guid join last listKeys map readEnvironmentVariable replace resourceGroup skip
    split startsWith subscription subscriptionResourceId take toLower union uniqueString""".split()
)
"""Bicep's own functions that are used here. One that is missing here is perhaps a typing error."""

DECLARATIONS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))

Node = tree_sitter.Node


def text(node: Node) -> str:
    return node.text.decode()


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def named(node: Node, *kinds: str) -> list[Node]:
    return [child for child in node.named_children if child.type in kinds]


class File:
    """One file: what it declares, and what it says of others."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.faults: list[str] = []
        self.content = path.read_bytes()
        self.root = PARSER.parse(self.content).root_node
        for node in walk(self.root):
            # The grammar misses the type of a parameter that a .bicepparam file sets.
            untyped = path.suffix == ".bicepparam" and node.is_missing and node.parent.type == "type"
            if (node.type == "ERROR" or node.is_missing) and not untyped:
                self.fault(node, "this cannot be parsed")
        if path.suffix == ".bicep":
            try:
                pycep.BicepParser().parse(text=self.content.decode())
            except Exception as error:  # Every grammar's own kinds of errors.
                self.faults.append(f"{path}: {error}")
        self.declared: dict[str, dict[str, Node]] = {kind: {} for kind in DECLARATIONS.values()}
        self.described: set[str] = set()
        described = False
        for node in self.root.named_children:
            if node.type == "decorators":
                described = "@description(" in text(node)
                continue
            kind = DECLARATIONS.get(node.type)
            if kind:
                self.declare(kind, node, described)
            described = False

    def fault(self, node: Node, what: str) -> None:
        self.faults.append(f"{self.path}:{node.start_point[0] + 1}: {what}")

    def declare(self, kind: str, node: Node, described: bool) -> None:
        name = text(named(node, "identifier")[0])
        space = [name in self.declared[other] for other in self.declared if (other == "output") == (kind == "output")]
        if any(space):
            self.fault(node, f"{name} is declared twice")
        self.declared[kind][name] = node
        if kind in ("param", "output") and not described and self.path.suffix == ".bicep":
            self.fault(node, f"{kind} {name} has no @description")

    def symbols(self) -> set[str]:
        """What an expression may name."""
        return {name for kind, names in self.declared.items() if kind != "output" for name in names}

    def required(self) -> set[str]:
        """The parameters that must be passed: without a default, and not nullable."""
        def must(node: Node) -> bool:
            return not any(child.type == "=" for child in node.children) and not text(node).rstrip().endswith("?")
        return {name for name, node in self.declared["param"].items() if must(node)}


def scope_of(node: Node) -> set[str]:
    """The loop variables and lambda arguments that are known at a place."""
    known: set[str] = set()
    at = node
    while at.parent:
        inside, at = at, at.parent
        if at.type == "for_statement":
            for parameters in named(at, "for_loop_parameters"):
                known |= {text(name) for name in parameters.named_children}
            first = at.named_children[0]
            if first.type == "identifier" and inside != first:
                known.add(text(first))
        elif at.type == "lambda_expression":
            *arguments, _ = at.named_children
            known |= {text(name) for argument in arguments for name in walk(argument) if name.type == "identifier"}
    return known


def is_name_of_something_else(node: Node) -> bool:
    """Whether an identifier declares, is a member's name, or belongs to a type or decorator."""
    parent = node.parent
    first = parent.named_children[0] == node
    naming = ("for_loop_parameters", "for_statement", "lambda_expression", "object_property")
    if parent.type in DECLARATIONS or parent.type in naming:
        return first
    at = parent
    while at:
        if at.type in ("type", "decorators"):
            return True
        at = at.parent
    return False


def check_names(file: File) -> None:
    """Every name that is used is declared, and every one that is declared is used."""
    used: set[str] = set()
    for node in walk(file.root):
        if node.type != "identifier" or is_name_of_something_else(node):
            continue
        name = text(node)
        # By the bracket behind it: within arrays the grammar takes some calls for two expressions.
        if file.content[node.end_byte : node.end_byte + 1] == b"(":
            if name not in FUNCTIONS:
                file.fault(node, f"the function {name} is not known")
            continue
        if name in scope_of(node):
            continue
        used.add(name)
        if name not in file.symbols():
            file.fault(node, f"{name} is not declared")
    for kind in ("param", "var"):
        for name in file.declared[kind].keys() - used:
            if file.path.suffix == ".bicep":
                file.fault(file.declared[kind][name], f"{kind} {name} is not used")


def members(node: Node) -> dict[str, Node]:
    return {text(member.named_children[0]): member for member in named(node, "object_property")}


def body(node: Node) -> Node:
    """The object of a resource or module, whether in a loop, under a condition or plain."""
    return next(child for child in walk(node) if child.type == "object")


def check_modules(file: File, files: dict[pathlib.Path, File]) -> None:
    """What is passed to a module is what it takes, and what is taken of it is what it gives."""
    modules: dict[str, File] = {}
    for name, node in file.declared["module"].items():
        path = (file.path.parent / text(named(node, "string")[0]).strip("'")).resolve()
        module = files.get(path)
        if not module:
            file.fault(node, f"module {name}: there is no {path.name}")
            continue
        modules[name] = module
        params = members(body(node)).get("params")
        passed = members(body(params)) if params else {}
        for strange in passed.keys() - module.declared["param"].keys():
            file.fault(passed[strange], f"{path.name} has no param {strange}")
        for missing in module.required() - passed.keys():
            file.fault(node, f"{path.name} is not passed {missing}")
    for node in walk(file.root):
        check_output(file, node, modules)


def check_output(file: File, node: Node, modules: dict[str, File]) -> None:
    taken = re.fullmatch(r"(\w+)(?:\[[^\]]*\])?!?\.outputs!?\.(\w+)", text(node))
    if node.type == "member_expression" and taken:
        module = modules.get(taken[1])
        if module and taken[2] not in module.declared["output"]:
            file.fault(node, f"{module.path.name} has no output {taken[2]}")


def check_parameters(file: File, files: dict[pathlib.Path, File]) -> None:
    """A .bicepparam file sets parameters that there are, and all that must be set."""
    using = re.search(r"^using '(.+)'$", file.root.text.decode(), re.M)
    target = using and files.get((file.path.parent / using[1]).resolve())
    if not target:
        file.faults.append(f"{file.path}: it uses no file that is here")
        return
    given = set(re.findall(r"^param (\w+) =", file.root.text.decode(), re.M))
    for strange in given - target.declared["param"].keys():
        file.faults.append(f"{file.path}: {target.path.name} has no param {strange}")
    for missing in target.required() - given:
        file.faults.append(f"{file.path}: {missing} is not set")


def check_rights(file: File) -> None:
    """No wildcard in a role, no built-in role but the known ones, no secret in what is passed or told."""
    for node in walk(file.root):
        if node.type != "string":
            continue
        value = text(node).strip("'")
        if value == "*" or re.fullmatch(r"Microsoft\.[\w./]*\*", value):
            file.fault(node, f"{value}: a role names each of its actions")
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) and value not in BUILT_IN_ROLES:
            file.fault(node, f"{value} is none of the built-in roles that may be assigned")
    for name, node in file.declared["output"].items():
        if re.search(r"list\w*\(|ConnectionString|[kK]ey\b", text(node)):
            file.fault(node, f"output {name} may hold a secret")
    if re.search(r"@secure\(\)", file.root.text.decode()):
        file.faults.append(f"{file.path}: there is no secret that this needs")


def check(folder: pathlib.Path) -> tuple[list[File], list[str]]:
    """All files below a folder, and all that is wrong with them."""
    paths = sorted(path.resolve() for path in [*folder.rglob("*.bicep"), *folder.rglob("*.bicepparam")])
    files = {path: File(path) for path in paths}
    for file in files.values():
        if file.faults:
            # What cannot be parsed would only lead to wrong complaints.
            continue
        check_names(file)
        check_rights(file)
        if file.path.suffix == ".bicepparam":
            check_parameters(file, files)
        else:
            check_modules(file, files)
    return list(files.values()), [fault for file in files.values() for fault in file.faults]


def main(folder: str) -> None:
    files, faults = check(pathlib.Path(folder))
    if faults or not files:
        sys.exit("\n".join(faults) or f"there is no Bicep file in {folder}")
    counts = ", ".join(f"{sum(len(file.declared[kind]) for file in files)} {kind}s" for kind in DECLARATIONS.values())
    print(f"infra: {len(files)} files fit each other: {counts}")


if __name__ == "__main__":
    main(sys.argv[1])
