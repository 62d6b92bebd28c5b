"""What the Azure CLI sees of the simulated Azure. `az` (the file beside this one) starts it; see README.md."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from typing import Any

from simulated import Azure, simulated, tested

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
SIGNALR = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-chat/providers/Microsoft.SignalRService/SignalR/sr-chat"
WORLD = {
    "subscription": SUBSCRIPTION,
    "signalr": [{"group": "rg-chat", "name": "sr-chat", "apps": ["shop", "shop/staging", "worker"]}],
    "sites": [
        {"group": "rg-chat", "name": "shop", "slots": ["staging"], "settings": {"GREETING": "hello"}},
        {"group": "rg-chat", "name": "worker", "kind": "functionapp,linux"},
    ],
}
HERE = "-g rg-chat -n shop"
STAGING = f"{HERE} --slot staging"

environment: dict[str, str]
"""With a configuration of its own, so that the developer's own login is left alone."""


def run(command: str, *more: str) -> "subprocess.CompletedProcess[str]":
    words = [os.environ["AZ"], *command.split(), *more]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)


def az(command: str, *more: str) -> Any:
    """Runs `az …` and answers the JSON that it prints."""
    done = run(command, *more)
    assert done.returncode == 0, f"az {command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout or "null")


def names(found: list[dict[str, Any]]) -> set[str]:
    return {one["name"] for one in found}


class Directory(unittest.TestCase):
    def test_subscription_groups_locations(self) -> None:
        self.assertEqual([one["id"] for one in az("account list")], [SUBSCRIPTION])
        self.assertEqual(names(az("account list-locations")), {"eastus"})
        self.assertEqual(names(az("group list")), {"rg-chat"})
        self.assertEqual(az("group show -n RG-CHAT")["name"], "rg-chat")
        self.assertTrue(az("group exists -n rg-chat"))
        self.assertFalse(az("group exists -n rg-gone"))

    def test_resources(self) -> None:
        self.assertEqual(names(az("resource list")), {"sr-chat", "shop", "shop/staging", "worker"})
        kind = "--resource-type Microsoft.SignalRService/SignalR"
        self.assertEqual(names(az(f"resource list -g rg-chat {kind}")), {"sr-chat"})
        self.assertEqual(az(f"resource show -g rg-chat -n sr-chat {kind}")["kind"], "SignalR")
        # az 2.91 has the keys and prints an empty object all the same: only the exit code tells.
        az(f"resource invoke-action --action listKeys --ids {SIGNALR}")
        self.assertEqual(az("provider show -n Microsoft.Web")["registrationState"], "Registered")

    def test_rest(self) -> None:
        found = az(f"rest --method post --url {SIGNALR}/listKeys?api-version=2024-03-01")
        self.assertIn("secondaryConnectionString", found)


class SignalR(unittest.TestCase):
    def test_list_and_show(self) -> None:
        self.assertEqual(names(az("signalr list")), {"sr-chat"})
        self.assertEqual(az("signalr show -g rg-chat -n sr-chat")["hostName"], "sr-chat.service.signalr.net")
        missing = run("signalr show -g rg-chat -n sr-gone")
        self.assertEqual(missing.returncode, 3)
        self.assertIn("ResourceNotFound", missing.stderr)

    def test_keys(self) -> None:
        before = az("signalr key list -g rg-chat -n sr-chat")
        az("signalr key renew -g rg-chat -n sr-chat --key-type secondary")
        after = az("signalr key list -g rg-chat -n sr-chat")
        self.assertEqual(after["primaryKey"], before["primaryKey"])
        self.assertNotEqual(after["secondaryKey"], before["secondaryKey"])


class WebApps(unittest.TestCase):
    def test_list_and_show(self) -> None:
        self.assertEqual(names(az("webapp list")), {"shop"})
        self.assertEqual(names(az("functionapp list -g rg-chat")), {"worker"})
        self.assertEqual(az(f"webapp show {HERE}")["defaultHostName"], "shop.azurewebsites.net")
        profiles = az(f"webapp deployment list-publishing-profiles {HERE}")
        self.assertEqual([one["publishMethod"] for one in profiles], ["MSDeploy", "FTP", "ZipDeploy"])
        self.assertEqual(az(f"webapp show {STAGING}")["defaultHostName"], "shop-staging.azurewebsites.net")
        self.assertEqual(az("functionapp show -g rg-chat -n worker")["kind"], "functionapp,linux")
        self.assertEqual(names(az(f"webapp deployment slot list {HERE}")), {"staging"})
        self.assertTrue(az(f"webapp config show {HERE}")["alwaysOn"])

    def test_app_settings(self) -> None:
        for where in [HERE, STAGING]:
            az(f"webapp config appsettings set {where} --settings ADDED=1")
            found = {one["name"]: one["value"] for one in az(f"webapp config appsettings list {where}")}
            self.assertEqual((found["ADDED"], found["GREETING"]), ("1", "hello"))
            self.assertIn("Azure__SignalR__ConnectionString", found)
            az(f"webapp config appsettings delete {where} --setting-names ADDED")
            self.assertNotIn("ADDED", names(az(f"webapp config appsettings list {where}")))
        az(f"webapp config appsettings set {STAGING} --slot-settings STICKS=1")
        found = {one["name"]: one["slotSetting"] for one in az(f"webapp config appsettings list {STAGING}")}
        self.assertEqual((found["STICKS"], found["GREETING"]), (True, False))
        az("functionapp config appsettings set -g rg-chat -n worker --settings ADDED=1")
        self.assertIn("ADDED", names(az("functionapp config appsettings list -g rg-chat -n worker")))

    def test_connection_strings(self) -> None:
        az(f"webapp config connection-string set {HERE} -t Custom --settings", "Chat=Endpoint=https://x;AccessKey=k")
        found = az(f"webapp config connection-string list {HERE}")
        self.assertEqual([(one["name"], one["type"]) for one in found], [("Chat", "Custom")])
        az(f"webapp config connection-string delete {HERE} --setting-names Chat")
        self.assertEqual(az(f"webapp config connection-string list {HERE}"), [])

    def test_restart(self) -> None:
        for restart in [f"webapp restart {HERE}", f"webapp restart {STAGING}", "functionapp restart -g rg-chat -n worker"]:
            az(restart)


class ServicePrincipal(unittest.TestCase):
    def test_a_client_secret(self) -> None:
        az("logout")
        try:
            az("login --service-principal -u a-client -p a-secret --tenant 00000000-0000-0000-0000-000000000007")
            self.assertEqual(names(az("signalr list")), {"sr-chat"})
            az("logout")
        finally:
            az("login --identity")


def register(azure: Azure) -> None:
    """Makes the embedded Azure the cloud of this configuration, and logs in with the managed identity."""
    endpoints = {
        "endpoint-resource-manager": azure.secure,
        "endpoint-management": azure.secure,
        "endpoint-active-directory": azure.secure,
        "endpoint-active-directory-resource-id": "https://management.azure.com/",
        "endpoint-active-directory-graph-resource-id": azure.secure,
    }
    az("cloud register -n simulated", *(word for name, url in endpoints.items() for word in (f"--{name}", url)))
    az("cloud set -n simulated")
    az("login --identity")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, simulated(WORLD, pathlib.Path(folder)) as azure:
        environment = os.environ | azure.environment
        environment |= {
            "AZURE_CONFIG_DIR": str(pathlib.Path(folder) / "az"),
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            # The embedded Azure is an authority that Microsoft's own list does not know.
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
            "REQUESTS_CA_BUNDLE": str(azure.certificate),
        }
        register(azure)
        sys.exit(tested())
