"""What Microsoft's Python clients see of container apps, jobs and static web apps. `checks.py` runs it with the rest."""

import time
import unittest
from typing import Any, Callable

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.appcontainers import ContainerAppsAPIClient
from azure.mgmt.appcontainers.models import Configuration, ContainerApp, JobPatchProperties, Secret
from azure.mgmt.appcontainers.models import JobPatchPropertiesProperties as JobPatch
from azure.mgmt.appcontainers.models import JobConfiguration
from azure.mgmt.web import WebSiteManagementClient
from azure.mgmt.web.models import StringDictionary

from simulated import Azure

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
VAULTED = "https://kv-container.vault.azure.net/secrets/chat"
MANY = 60
"""More than a page of 50."""
WORLD: dict[str, list[Any]] = {
    "signalr": [{"group": "rg-container", "name": "sr-container"}],
    "vaults": [{"group": "rg-container", "name": "kv-container", "secrets": {"chat": "{primary:sr-container}"}}],
    "containerApps": [
        {
            "group": "rg-container",
            "name": "chat-api",
            "secrets": {"signalr": "{primary:sr-container}", "vaulted": {"keyVaultUrl": VAULTED}},
            "tags": {"team": "chat"},
        },
        {
            "group": "rg-container",
            "name": "many-revisions",
            "revisions_mode": "Multiple",
            "secrets": {"signalr": "x"},
            "revisions": {"many-revisions--old": {"active": True, "replicas": 2}, "many-revisions--off": {}},
        },
        *({"group": "rg-many-apps", "name": f"app-{number:02}"} for number in range(MANY)),
    ],
    "containerJobs": [{"group": "rg-container", "name": "nightly", "secrets": {"signalr": "x"}, "executions": 1}],
    "staticWebApps": [
        {
            "group": "rg-container",
            "name": "chat-site",
            "settings": {"GREETING": "a=b;c"},
            "function_settings": {"CHAT": "x"},
            "environments": {"12": {"settings": {"GREETING": "twelve"}}},
        },
    ],
}

azure: Azure
"""The embedded Azure that all checks share; `checks.py` sets it."""


def how() -> dict[str, Any]:
    return {
        "base_url": azure.secure,
        "credential_scopes": ["https://management.azure.com/.default"],
        "polling_interval": 0.2,
        "connection_verify": str(azure.certificate),
    }


def soon(condition: Callable[[], bool]) -> bool:
    """Waits until something is so."""
    ends = time.monotonic() + 20
    while not condition() and time.monotonic() < ends:
        time.sleep(0.1)
    return condition()


class ContainerApps(unittest.TestCase):
    def setUp(self) -> None:
        self.client = ContainerAppsAPIClient(ManagedIdentityCredential(), SUBSCRIPTION, **how())
        self.apps = self.client.container_apps
        self.here = ("rg-container", "chat-api")

    def secrets(self, here: tuple[str, str] | None = None) -> dict[str, str | None]:
        found = self.apps.list_secrets(*(here or self.here)).value
        return {one.name: one.as_dict().get("value") for one in found}

    def update(self, here: tuple[str, str], secrets: list[Secret]) -> ContainerApp:
        envelope = ContainerApp(location="East US", configuration=Configuration(secrets=secrets))
        return self.apps.begin_update(*here, envelope).result(60)

    def test_lists_and_get(self) -> None:
        self.assertEqual(len(list(self.apps.list_by_subscription())), MANY + 2)
        many = list(self.apps.list_by_resource_group("rg-many-apps"))
        self.assertEqual([app.name for app in many], [f"app-{number:02}" for number in range(MANY)])
        app = self.apps.get("RG-Container", "CHAT-API")
        self.assertEqual((app.name, app.provisioning_state, app.tags), ("chat-api", "Succeeded", {"team": "chat"}))
        self.assertEqual(app.configuration.active_revisions_mode, "Single")
        named = {one.name: (one.key_vault_url, one.identity) for one in app.configuration.secrets}
        self.assertEqual(named, {"signalr": (None, None), "vaulted": (VAULTED, "System")})
        self.assertTrue(all(one.value is None for one in app.configuration.secrets))
        self.assertIsNotNone(app.system_data.last_modified_at.tzinfo)
        variables = {one.name: one.secret_ref for one in app.template.containers[0].env}
        self.assertEqual(variables, {"SIGNALR": "signalr", "VAULTED": "vaulted"})
        with self.assertRaises(ResourceNotFoundError) as missing:
            self.apps.get("rg-container", "gone")
        self.assertEqual(missing.exception.error.code, "ResourceNotFound")

    def test_secrets_are_told_and_replaced_as_a_whole(self) -> None:
        before = self.secrets()
        self.assertEqual(before["signalr"], before["vaulted"])
        self.assertTrue(before["signalr"].startswith("Endpoint=https://sr-container.service.signalr.net;AccessKey="))
        modified = self.apps.get(*self.here).system_data.last_modified_at
        vaulted = Secret(name="vaulted", key_vault_url=VAULTED, identity="System")
        changed = self.update(self.here, [Secret(name="signalr", value="new"), vaulted])
        self.assertEqual((changed.name, changed.provisioning_state), ("chat-api", "Succeeded"))
        self.assertGreater(changed.system_data.last_modified_at, modified)
        self.assertEqual(self.secrets(), before | {"signalr": "new"})
        revisions = list(self.client.container_apps_revisions.list_revisions(*self.here))
        self.assertEqual([one.name for one in revisions], ["chat-api--0000001"])
        with self.assertRaises(HttpResponseError) as refused:
            self.update(self.here, [vaulted])
        self.assertEqual(refused.exception.error.code, "ContainerAppSecretRefNotFound")
        with self.assertRaises(HttpResponseError) as refused:
            self.update(self.here, self.apps.get(*self.here).configuration.secrets)
        self.assertEqual(refused.exception.error.code, "ContainerAppSecretInvalid")

    def test_an_app_that_is_read_and_written_back_has_no_other_revision(self) -> None:
        here = ("rg-many-apps", "app-00")
        whole = self.apps.get(*here)
        whole.configuration.secrets = [Secret(name="added", value="x")]
        self.apps.begin_update(*here, whole).result(60)
        self.assertEqual(self.secrets(here), {"added": "x"})
        self.assertEqual(len(list(self.client.container_apps_revisions.list_revisions(*here))), 1)
        after = self.apps.get(*here)
        self.assertEqual(after.template, whole.template)

    def test_two_changes_at_once_are_a_conflict(self) -> None:
        here = ("rg-many-apps", "app-01")
        envelope = ContainerApp(location="East US", tags={"a": "b"})
        running = self.apps.begin_update(*here, envelope)
        with self.assertRaises(HttpResponseError) as refused:
            self.apps.begin_update(*here, envelope)
        self.assertEqual(refused.exception.status_code, 409)
        self.assertEqual(refused.exception.error.code, "ContainerAppOperationInProgress")
        self.assertEqual(running.result(60).tags, {"a": "b"})

    def test_a_change_that_fails(self) -> None:
        here = ("rg-many-apps", "app-02")
        azure.sim("faults", {"operation": "ContainerApps_Update", "resource": "app-02", "kind": "operation-failed"})
        with self.assertRaises(HttpResponseError):
            self.update(here, [Secret(name="added", value="x")])
        self.assertEqual(self.apps.get(*here).provisioning_state, "Failed")
        self.assertEqual(self.secrets(here), {})

    def test_revisions_are_restarted_and_their_replicas_follow(self) -> None:
        here = ("rg-container", "many-revisions")
        revisions = {one.name: one for one in self.client.container_apps_revisions.list_revisions(*here)}
        told = {name: (one.active, one.replicas, one.running_state) for name, one in revisions.items()}
        running = {"many-revisions--0000001": (True, 1, "Running"), "many-revisions--old": (True, 2, "Running")}
        self.assertEqual(told, running | {"many-revisions--off": (False, 0, "Stopped")})
        one = self.client.container_apps_revisions.get_revision(*here, "many-revisions--old")
        self.assertEqual((one.health_state, one.provisioning_state, one.traffic_weight), ("Healthy", "Provisioned", 0))
        listed = lambda: self.client.container_apps_revision_replicas.list_replicas(*here, "many-revisions--old").value
        before = {replica.name for replica in listed()}
        restarted = self.apps.get(*here).system_data.created_at
        self.client.container_apps_revisions.restart_revision(*here, "many-revisions--old")
        new = lambda: [replica for replica in listed() if replica.name not in before]
        self.assertTrue(soon(lambda: len(new()) == 2))
        self.assertTrue(all(replica.created_time > restarted for replica in new()))
        self.assertTrue(soon(lambda: len(listed()) == 2))
        self.assertEqual({replica.running_state for replica in new()}, {"Running"})
        self.assertTrue(all(replica.containers[0].ready for replica in new()))
        azure.sim("revisions", {"app": "many-revisions", "revision": "many-revisions--old", "action": "scale", "replicas": 0})
        self.assertEqual(listed(), [])

    def test_what_the_caller_may_not_do(self) -> None:
        scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-many-apps/providers/Microsoft.App/containerApps/app-03"
        action = "Microsoft.App/containerApps/listSecrets/action"
        azure.sim("denials", {"scope": scope, "action": action})
        with self.assertRaises(HttpResponseError) as refused:
            self.apps.list_secrets("rg-many-apps", "app-03")
        self.assertEqual((refused.exception.status_code, refused.exception.error.code), (403, "AuthorizationFailed"))
        self.assertIn(action, refused.exception.error.message)

    def test_throttling_is_sat_out(self) -> None:
        azure.sim("faults", {"operation": "ContainerApps_ListSecrets", "resource": "app-04", "kind": 429})
        self.assertEqual(self.secrets(("rg-many-apps", "app-04")), {})


class Jobs(unittest.TestCase):
    def test_secrets_and_executions(self) -> None:
        client = ContainerAppsAPIClient(ManagedIdentityCredential(), SUBSCRIPTION, **how())
        here = ("rg-container", "nightly")
        self.assertEqual([job.name for job in client.jobs.list_by_subscription()], ["nightly"])
        self.assertEqual([job.name for job in client.jobs.list_by_resource_group("rg-container")], ["nightly"])
        job = client.jobs.get(*here)
        self.assertEqual((job.provisioning_state, job.configuration.trigger_type), ("Succeeded", "Manual"))
        self.assertEqual([(one.name, one.value) for one in job.configuration.secrets], [("signalr", None)])
        listed = lambda: {one.name: one.as_dict()["value"] for one in client.jobs.list_secrets(*here).value}
        self.assertEqual(listed(), {"signalr": "x"})
        configuration = JobConfiguration(
            trigger_type="Manual", replica_timeout=1800, secrets=[Secret(name="signalr", value="y")]
        )
        patched = client.jobs.begin_update(*here, JobPatchProperties(properties=JobPatch(configuration=configuration)))
        self.assertEqual(patched.result(60).provisioning_state, "Succeeded")
        self.assertEqual(listed(), {"signalr": "y"})
        running = list(client.jobs_executions.list(*here))
        self.assertEqual([(one.status, one.end_time) for one in running], [("Running", None)])
        started = client.jobs.begin_start(*here).result(60)
        self.assertEqual(len(list(client.jobs_executions.list(*here))), 2)
        azure.sim("executions", {"job": "nightly", "action": "end", "execution": started.name})
        ended = client.job_execution(*here, started.name)
        self.assertEqual(ended.status, "Succeeded")
        self.assertGreaterEqual(ended.end_time, ended.start_time)


class StaticSites(unittest.TestCase):
    def setUp(self) -> None:
        self.sites = WebSiteManagementClient(ManagedIdentityCredential(), SUBSCRIPTION, **how()).static_sites
        self.here = ("rg-container", "chat-site")

    def test_sites_and_builds(self) -> None:
        self.assertEqual([site.name for site in self.sites.list()], ["chat-site"])
        self.assertEqual([site.name for site in self.sites.get_static_sites_by_resource_group("rg-container")], ["chat-site"])
        self.assertEqual(self.sites.get_static_site("RG-Container", "Chat-Site").name, "chat-site")
        builds = {one.name: one.status for one in self.sites.get_static_site_builds(*self.here)}
        self.assertEqual(builds, {"default": "Ready", "12": "Ready"})
        self.assertEqual(self.sites.get_static_site_build(*self.here, "12").build_id, "12")
        with self.assertRaises(ResourceNotFoundError):
            self.sites.get_static_site_build(*self.here, "13")

    def test_every_dictionary_is_replaced_as_a_whole(self) -> None:
        new = StringDictionary(properties={"NEW": "ü"})
        site, build = self.here, (*self.here, "12")
        for read, write, at, before in [
            ("list_static_site_app_settings", "app_settings", site, {"GREETING": "a=b;c"}),
            ("list_static_site_function_app_settings", "function_app_settings", site, {"CHAT": "x"}),
            ("list_static_site_build_app_settings", "app_settings", build, {"GREETING": "twelve"}),
            ("list_static_site_build_function_app_settings", "function_app_settings", build, {}),
        ]:
            listed = lambda: dict(getattr(self.sites, read)(*at).properties)
            self.assertEqual(listed(), before, read)
            kind = "build_" if at == build else ""
            put = getattr(self.sites, f"create_or_update_static_site_{kind}{write}")(*at, new)
            self.assertEqual(dict(put.properties), {"NEW": "ü"})
            self.assertEqual(listed(), {"NEW": "ü"}, read)
