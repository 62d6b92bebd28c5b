"""Every `az …` in the documents, given to the Azure CLI without a login: it must understand the command and ask for one.

`az` (the file beside this one) starts it. Blocks run in bash with all other programs replaced, so that quotes, pipes and
continued lines are read as a person's shell reads them. What an extension brings is left out, and so are deployments where
there is no Bicep compiler on the PATH or in MICROSOFT_PROGRAMS, for the Azure CLI would want to download one.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
LEFT_OUT = ("login", "extension add", "monitor app-insights", "logic ")
# What only the reader knows, where the Azure CLI looks at its form.
FILLED_IN = {"TOPIC_ID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/t"}
SHELL = """
exec 3>&1 >/dev/null 2>&1
for other in signalr-rekey ./signalr-rekey func curl cargo package/build infra/deploy cd export mkdir; do
    eval "$other() { :; }"
done
# Of what is piped into it, one id stands for all.
xargs() {
    while [[ $1 == -* ]]; do if [ "$1" = -n ]; then shift; fi; shift; done
    "$@" /subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/x
}
az() { printf '%s\\0' "$@" >&3; printf '\\n\\0' >&3; }
"""


def commands(document: str) -> list[list[str]]:
    found = []
    for block in re.findall(r"^```sh azure\n(.*?)^```", document, re.M | re.S):
        told = subprocess.run(["bash", "-c", SHELL + block], capture_output=True, text=True, check=True).stdout
        found += [command.split("\0")[:-1] for command in told.split("\n\0") if command]
    return found


def main() -> None:
    documents = [ROOT / "README.md", ROOT / "infra/README.md", *sorted((ROOT / "docs").glob("*.md"))]
    faults, asked, left_out = [], 0, set()
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "bin").mkdir()
        (pathlib.Path(folder) / "dead-letters").mkdir()
        programs = os.environ.get("MICROSOFT_PROGRAMS", "/nowhere")
        bicep = shutil.which("bicep", path=f"{programs}{os.pathsep}{os.environ['PATH']}")
        if bicep:
            compiler = pathlib.Path(folder) / "bin/bicep"
            compiler.write_text(f'#!/bin/sh\nexec "{os.path.realpath(bicep)}" "$@"\n')
            compiler.chmod(0o755)
        environment = os.environ | {"AZURE_CONFIG_DIR": folder, "AZURE_CORE_COLLECT_TELEMETRY": "false"}
        for document in documents:
            for words in commands(document.read_text()):
                words = [FILLED_IN.get(word, word) for word in words]
                command = " ".join(words)
                if command.startswith(LEFT_OUT) or (words[0] == "deployment" and not bicep):
                    left_out.add(" ".join(words[:3]))
                    continue
                # It is asked whether it is meant, before it is asked for a login.
                words += ["--yes"] if command.startswith("group delete") else []
                here = ROOT if "infra/" in command or "docs/" in command else folder
                done = subprocess.run(
                    [os.environ["AZ"], *words], cwd=here, env=environment, capture_output=True, text=True, timeout=120
                )
                asked += 1
                if "az login" not in done.stderr:
                    faults.append(f"{document.name}: az {command}\n{done.stderr}")
    print(f"{asked} commands of the documents are understood; left out: {', '.join(sorted(left_out))}")
    if faults or asked < 20:
        sys.exit("\n".join(faults) or "there must be more")


if __name__ == "__main__":
    main()
