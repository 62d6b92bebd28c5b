"""What Microsoft's Python clients see of the simulated Azure. `run` starts it; see README.md."""

import contextlib
import datetime
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable
from urllib.parse import urlsplit

import jwt
from azure.appconfiguration import (
    AzureAppConfigurationClient,
    ConfigurationSetting,
    ResourceReadOnlyError,
    SecretReferenceConfigurationSetting,
)
from azure.core import MatchConditions
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.core.polling.arm_polling import ARMPolling
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.signalr import SignalRManagementClient
from azure.mgmt.signalr.models import RegenerateKeyParameters, SignalRKeys
from azure.mgmt.web import WebSiteManagementClient
from azure.mgmt.web.models import (
    ConnStringValueTypePair,
    ConnectionStringDictionary,
    SlotConfigNamesResource,
    StringDictionary,
)

import container_checks
from container_checks import ContainerApps, Jobs, StaticSites
from simulated import PROGRAM, Azure, simulated, stop, tested

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
SITES = 120
"""More than two pages of 50."""
SECRETS = 30
"""More than a page of 25."""
KEY_VALUES = 250
"""More than two pages of 100."""
REFERENCES = {
    "BY_NAME": "@Microsoft.KeyVault(VaultName=kv-read;SecretName=chat)",
    "BY_URI": "@Microsoft.KeyVault(SecretUri=https://kv-read.vault.azure.net/secrets/other/)",
    "LOST": "@Microsoft.KeyVault(VaultName=kv-read;SecretName=lost)",
    "PLAIN": "x",
}
WORLD = {
    "subscription": SUBSCRIPTION,
    "signalr": [
        {"group": "rg-chat", "name": "sr-chat", "apps": ["shop", "shop/staging", "worker"]},
        {"group": "rg-other", "name": "sr-other"},
    ],
    "sites": [
        {"group": "rg-chat", "name": "shop", "slots": ["staging"], "settings": {"GREETING": "a=b;c"}},
        {"group": "rg-chat", "name": "worker", "kind": "functionapp,linux"},
        {"group": "rg-vault", "name": "reader", "slots": ["staging"], "settings": REFERENCES},
        *({"group": "rg-many", "name": f"app-{number:03}"} for number in range(SITES)),
    ],
    "appConfigurations": [
        {
            "group": "rg-config",
            "name": "cs-read",
            "accessKey": {"id": "abcd-l0-s0:simulated", "secret": "c2ltdWxhdGVk"},
            "keyValues": [
                {"key": "Chat:SignalR", "label": "prod", "value": "first", "contentType": "text/plain", "tags": {"team": "chat"}},
                {"key": "Chat:SignalR", "value": "of no label"},
                {"key": "fixed", "value": "x", "locked": True},
                {
                    "key": "in-vault",
                    "value": '{"uri":"https://kv-read.vault.azure.net/secrets/chat"}',
                    "contentType": "application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8",
                },
                *({"key": f"many/{number:03}", "value": "x"} for number in range(KEY_VALUES)),
            ],
        },
        {"group": "rg-config", "name": "cs-write"},
        {"group": "rg-config", "name": "cs-closed", "keyValues": [{"key": "chat", "value": "x"}]},
    ],
    "vaults": [
        {"group": "rg-vault", "name": "kv-read", "secrets": {"chat": "first", "other": "x"}},
        {
            "group": "rg-vault",
            "name": "kv-write",
            "secrets": {
                "tagged": {"value": "x", "contentType": "text/plain", "tags": {"team": "chat"}, "exp": 1893456000},
                **{f"many-{number:02}": "x" for number in range(SECRETS)},
            },
        },
        {"group": "rg-vault", "name": "kv-closed", "secrets": {"chat": "x"}},
        {"group": "rg-vault", "name": "kv-fresh", "secrets": {"chat": "x"}},
    ],
}

WHOLE = WORLD | {member: WORLD.get(member, []) + more for member, more in container_checks.WORLD.items()}
"""With what `container_checks` needs."""

azure: Azure
"""The embedded Azure that all checks share; those that change something look after what they changed."""


def clients(azure: Azure, credential: Any = None) -> tuple[SignalRManagementClient, WebSiteManagementClient]:
    """Clients for ARM over https. Polls come fast, as the embedded Azure is."""
    how = {
        "base_url": azure.secure,
        "credential_scopes": ["https://management.azure.com/.default"],
        "polling_interval": 0.2,
        "connection_verify": str(azure.certificate),
    }
    credential = credential or ManagedIdentityCredential()
    return (
        SignalRManagementClient(credential, SUBSCRIPTION, **how),
        WebSiteManagementClient(credential, SUBSCRIPTION, **how),
    )


def secret_credential(azure: Azure) -> ClientSecretCredential:
    """The embedded Azure is an authority that Microsoft's own list does not know."""
    tenant = str(uuid.UUID(int=7))
    return ClientSecretCredential(
        tenant,
        "a-client",
        "a-secret",
        authority=azure.secure,
        disable_instance_discovery=True,
        connection_verify=str(azure.certificate),
    )


def regenerate(client: SignalRManagementClient, key_type: str) -> SignalRKeys:
    """Follows a regeneration to its end, and fetches the keys from its Location, as the swagger of 2024-03-01 says
    (final-state-via). The stable SDK still has it otherwise: its own polling takes the last status for the keys, and
    so ends with four times None."""
    parameters = RegenerateKeyParameters(key_type=key_type)
    polling = ARMPolling(0.2, lro_options={"final-state-via": "location"})
    poller = client.signal_r.begin_regenerate_key("rg-chat", "sr-chat", parameters, polling=polling)
    return poller.result(60)


class Credentials(unittest.TestCase):
    def test_managed_identity_of_app_service(self) -> None:
        signalr, _ = clients(azure)
        found = {one.name for one in signalr.signal_r.list_by_subscription()}
        self.assertEqual(found, {"sr-chat", "sr-other", "sr-container"})

    def test_client_secret(self) -> None:
        signalr, _ = clients(azure, secret_credential(azure))
        self.assertEqual(signalr.signal_r.get("rg-chat", "sr-chat").name, "sr-chat")

    def test_a_token_for_something_else_is_refused(self) -> None:
        signalr = SignalRManagementClient(
            ManagedIdentityCredential(),
            SUBSCRIPTION,
            base_url=azure.secure,
            credential_scopes=["https://vault.azure.net/.default"],
            connection_verify=str(azure.certificate),
        )
        with self.assertRaises(ClientAuthenticationError) as refused:
            signalr.signal_r.get("rg-chat", "sr-chat")
        self.assertEqual(refused.exception.status_code, 401)

    def test_subscriptions_tenants_and_locations(self) -> None:
        client = SubscriptionClient(
            secret_credential(azure),
            base_url=azure.secure,
            credential_scopes=["https://management.azure.com/.default"],
            connection_verify=str(azure.certificate),
        )
        found = list(client.subscriptions.list())
        self.assertEqual([(one.subscription_id, one.state) for one in found], [(SUBSCRIPTION, "Enabled")])
        self.assertEqual([one.name for one in client.subscriptions.list_locations(SUBSCRIPTION)], ["eastus"])
        self.assertEqual(len(list(client.tenants.list())), 1)


class SignalR(unittest.TestCase):
    def setUp(self) -> None:
        self.client, _ = clients(azure)

    def test_lists_and_get(self) -> None:
        found = list(self.client.signal_r.list_by_resource_group("RG-Chat"))
        self.assertEqual([one.name for one in found], ["sr-chat"])
        one = self.client.signal_r.get("rg-chat", "sr-chat")
        self.assertEqual(one.host_name, "sr-chat.service.signalr.net")
        self.assertEqual((one.kind, one.sku.name, one.provisioning_state), ("SignalR", "Standard_S1", "Succeeded"))
        self.assertFalse(one.disable_local_auth)

    def test_all_four_strings(self) -> None:
        keys = self.client.signal_r.list_keys("rg-chat", "sr-chat")
        self.assertNotEqual(keys.primary_key, keys.secondary_key)
        for key, text in [
            (keys.primary_key, keys.primary_connection_string),
            (keys.secondary_key, keys.secondary_connection_string),
        ]:
            self.assertEqual(text, f"Endpoint=https://sr-chat.service.signalr.net;AccessKey={key};Version=1.0;")

    def test_a_regeneration_is_followed_to_its_end(self) -> None:
        before = self.client.signal_r.list_keys("rg-chat", "sr-chat")
        final = regenerate(self.client, "Secondary")
        after = self.client.signal_r.list_keys("rg-chat", "sr-chat")
        self.assertEqual((final.primary_key, final.secondary_key), (after.primary_key, after.secondary_key))
        self.assertEqual(after.primary_key, before.primary_key)
        self.assertNotEqual(after.secondary_key, before.secondary_key)
        self.assertEqual(call(azure, before.secondary_key), 401)
        self.assertEqual(call(azure, after.secondary_key), 404)

    def test_two_at_once_are_a_conflict(self) -> None:
        start = self.client.signal_r.begin_regenerate_key
        running = start("rg-chat", "sr-chat", RegenerateKeyParameters(key_type="Secondary"))
        with self.assertRaises(HttpResponseError) as refused:
            start("rg-chat", "sr-chat", RegenerateKeyParameters(key_type="Primary"))
        self.assertEqual((refused.exception.status_code, refused.exception.error.code), (409, "Conflict"))
        running.result(60)

    def test_a_regeneration_that_fails(self) -> None:
        before = self.client.signal_r.list_keys("rg-chat", "sr-chat")
        azure.sim("faults", {"operation": "SignalR_RegenerateKey", "kind": "operation-failed"})
        with self.assertRaises(HttpResponseError):
            regenerate(self.client, "Secondary")
        self.assertEqual(self.client.signal_r.list_keys("rg-chat", "sr-chat"), before)

    def test_what_there_is_not(self) -> None:
        for group, name, code in [
            ("rg-chat", "sr-gone", "ResourceNotFound"),
            ("rg-gone", "sr-chat", "ResourceGroupNotFound"),
        ]:
            with self.assertRaises(ResourceNotFoundError) as missing:
                self.client.signal_r.list_keys(group, name)
            self.assertEqual(missing.exception.error.code, code)

    def test_ids_in_any_case(self) -> None:
        same = self.client.signal_r.list_keys("RG-CHAT", "SR-Chat")
        self.assertEqual(same, self.client.signal_r.list_keys("rg-chat", "sr-chat"))

    def test_throttling_is_sat_out(self) -> None:
        azure.sim("faults", {"operation": "SignalR_Get", "kind": 429, "retry_after": 1})
        begun = time.monotonic()
        self.assertEqual(self.client.signal_r.get("rg-chat", "sr-chat").name, "sr-chat")
        self.assertGreaterEqual(time.monotonic() - begun, 1)


class WebApps(unittest.TestCase):
    def setUp(self) -> None:
        _, client = clients(azure)
        self.apps = client.web_apps

    def test_lists_go_on_over_pages(self) -> None:
        self.assertEqual(len(list(self.apps.list())), SITES + 3)
        many = list(self.apps.list_by_resource_group("rg-many"))
        self.assertEqual([app.name for app in many], [f"app-{number:03}" for number in range(SITES)])
        self.assertEqual({app.name for app in self.apps.list_by_resource_group("rg-chat")}, {"shop", "worker"})
        both = self.apps.list_by_resource_group("rg-chat", include_slots=True)
        self.assertEqual({app.name for app in both}, {"shop", "shop/staging", "worker"})

    def test_get_a_site_and_a_slot(self) -> None:
        app = self.apps.get("RG-Chat", "SHOP")
        self.assertEqual((app.name, app.kind, app.state), ("shop", "app", "Running"))
        self.assertEqual(app.default_host_name, "shop.azurewebsites.net")
        self.assertIn("/serverfarms/", app.server_farm_id)
        self.assertEqual([slot.name for slot in self.apps.list_slots("rg-chat", "shop")], ["shop/staging"])
        slot = self.apps.get_slot("rg-chat", "shop", "staging")
        self.assertEqual(slot.default_host_name, "shop-staging.azurewebsites.net")
        self.assertEqual(self.apps.get("rg-chat", "worker").kind, "functionapp,linux")
        with self.assertRaises(ResourceNotFoundError) as missing:
            self.apps.get_slot("rg-chat", "shop", "gone")
        self.assertEqual(missing.exception.error.code, "ResourceNotFound")

    def test_app_settings_are_replaced_as_a_whole(self) -> None:
        before = dict(self.apps.list_application_settings("rg-chat", "shop").properties)
        self.assertEqual(before["GREETING"], "a=b;c")
        after = {name: value for name, value in before.items() if name != "GREETING"} | {"NEW": "ü"}
        put = self.apps.update_application_settings("rg-chat", "shop", StringDictionary(properties=after))
        self.assertEqual(dict(put.properties), after)
        self.assertEqual(dict(self.apps.list_application_settings("rg-chat", "shop").properties), after)
        slot = self.apps.list_application_settings_slot("rg-chat", "shop", "staging").properties
        self.assertIn("GREETING", slot)
        self.apps.update_application_settings("rg-chat", "shop", StringDictionary(properties=before))

    def test_app_settings_of_a_slot(self) -> None:
        here = ("rg-chat", "shop", "staging")
        before = dict(self.apps.list_application_settings_slot(*here).properties)
        change = StringDictionary(properties=before | {"ONLY_HERE": "1"})
        self.apps.update_application_settings_slot(*here, change)
        self.assertEqual(self.apps.list_application_settings_slot(*here).properties["ONLY_HERE"], "1")
        self.assertNotIn("ONLY_HERE", self.apps.list_application_settings("rg-chat", "shop").properties)
        self.apps.update_application_settings_slot(*here, StringDictionary(properties=before))

    def test_connection_strings(self) -> None:
        wanted = ConnStringValueTypePair(value="Endpoint=https://x;AccessKey=k", type="Custom")
        put = ConnectionStringDictionary(properties={"Azure:SignalR:ConnectionString": wanted})
        self.apps.update_connection_strings("rg-many", "app-000", put)
        found = self.apps.list_connection_strings("rg-many", "app-000").properties
        self.assertEqual(list(found), ["Azure:SignalR:ConnectionString"])
        entry = found["Azure:SignalR:ConnectionString"]
        self.assertEqual((entry.value, entry.type), (wanted.value, "Custom"))
        self.assertFalse(self.apps.list_connection_strings_slot("rg-chat", "shop", "staging").properties)

    def test_names_that_stay_with_their_slot(self) -> None:
        names = SlotConfigNamesResource(app_setting_names=["GREETING"], connection_string_names=[])
        self.apps.update_slot_configuration_names("rg-chat", "shop", names)
        found = self.apps.list_slot_configuration_names("rg-chat", "shop")
        self.assertEqual(found.app_setting_names, ["GREETING"])

    def test_configuration_restart_and_publishing_profiles(self) -> None:
        self.assertTrue(self.apps.get_configuration("rg-chat", "shop").always_on)
        self.apps.restart("rg-chat", "shop")
        self.apps.restart_slot("rg-chat", "shop", "staging")
        text = b"".join(self.apps.list_publishing_profile_xml_with_secrets("rg-chat", "shop", {})).decode()
        self.assertIn('publishMethod="FTP"', text)


class DataPlane(unittest.TestCase):
    def setUp(self) -> None:
        client, _ = clients(azure)
        text = client.signal_r.list_keys("rg-chat", "sr-chat").primary_connection_string
        self.parts = dict(part.split("=", 1) for part in text.split(";") if part)

    def test_a_good_key(self) -> None:
        key, host = self.parts["AccessKey"], urlsplit(self.parts["Endpoint"]).netloc
        self.assertEqual(call(azure, key, host=host), 404)
        self.assertEqual(call(azure, key, "/api/hubs/chat/:send", "POST", host=host), 202)

    def test_bad_keys(self) -> None:
        key = self.parts["AccessKey"]
        for refused in [
            call(azure, key[:-1] + "?"),
            call(azure, key, host="sr-other.service.signalr.net"),
            call(azure, key, audience="https://sr-chat.service.signalr.net/api/hubs/chat/users/other"),
            call(azure, key, life=-60),
            call(azure, key, "/api/hubs/chat/:send", "POST", life=-60),
        ]:
            self.assertEqual(refused, 401)


def secrets(vault: str, credential: Any = None) -> SecretClient:
    """A client of a vault, which lets its challenge tell it for whom to ask a token."""
    return SecretClient(
        azure.vault(vault), credential or ManagedIdentityCredential(), connection_verify=str(azure.certificate)
    )


class ForArm:
    """Asks for a token of Azure Resource Manager whatever it is asked for."""

    def get_token(self, *_: str, **__: Any) -> Any:
        return ManagedIdentityCredential().get_token("https://management.azure.com/.default")


class KeyVault(unittest.TestCase):
    def setUp(self) -> None:
        self.vault = secrets("kv-write")

    def refused(self, status: int, code: str, inner: str, act: Callable[[], Any]) -> None:
        with self.assertRaises(HttpResponseError) as refused:
            act()
        error = json.loads(refused.exception.response.text())["error"]
        found = (refused.exception.status_code, error["code"], error.get("innererror", {}).get("code"))
        self.assertEqual(found, (status, code, inner or None))

    def test_the_challenge_is_asked_for_before_anything_is_sent(self) -> None:
        client = secrets("kv-fresh")
        self.assertEqual(client.set_secret("chat", "new").value, "new")
        self.assertEqual(client.get_secret("chat").value, "new")
        asked = [one for one in azure.sim("requests") if one["resource"].startswith("kv-fresh")]
        found = [(one["operation"], one["status"]) for one in asked]
        set_, get = "KeyVault_SetSecret", "KeyVault_GetSecret"
        self.assertEqual(found, [(set_, 401), (set_, 200), (get, 200)])
        self.assertGreaterEqual(azure.sim("report")["vault_requests"][set_], 2)

    def test_a_secret_of_a_client_credential(self) -> None:
        tenant = str(uuid.UUID(int=7))
        credential = ClientSecretCredential(
            tenant,
            "a-client",
            "a-secret",
            authority=azure.secure,
            disable_instance_discovery=True,
            additionally_allowed_tenants=["*"],
            connection_verify=str(azure.certificate),
        )
        self.assertEqual(secrets("kv-read", credential).get_secret("other").value, "x")

    def test_a_token_for_something_else_is_refused(self) -> None:
        with self.assertRaises(ClientAuthenticationError):
            secrets("kv-read", ForArm()).get_secret("other")

    def test_versions(self) -> None:
        first = self.vault.set_secret("versions", "one", content_type="text/plain", tags={"a": "b"})
        expires = datetime.datetime(2031, 1, 1, tzinfo=datetime.timezone.utc)
        second = self.vault.set_secret("versions", "two", expires_on=expires, enabled=True)
        newest = self.vault.get_secret("versions")
        self.assertEqual((newest.value, newest.properties.version), ("two", second.properties.version))
        self.assertEqual(newest.properties.expires_on, expires)
        self.assertIsNone(newest.properties.content_type)
        old = self.vault.get_secret("versions", first.properties.version)
        self.assertEqual((old.value, old.properties.content_type, old.properties.tags), ("one", "text/plain", {"a": "b"}))
        self.assertEqual(old.properties.vault_url, azure.vault("kv-write"))
        pages = self.vault.list_properties_of_secret_versions("versions", max_page_size=1)
        self.assertEqual({one.version for one in pages}, {first.properties.version, second.properties.version})
        with self.assertRaises(ResourceNotFoundError) as missing:
            self.vault.get_secret("versions", "0" * 32)
        self.assertEqual(missing.exception.error.code, "SecretNotFound")

    def test_lists_go_on_over_pages(self) -> None:
        names = [one.name for one in self.vault.list_properties_of_secrets()]
        self.assertEqual([name for name in names if name.startswith("many-")], [f"many-{at:02}" for at in range(SECRETS)])
        tagged = next(one for one in self.vault.list_properties_of_secrets() if one.name == "tagged")
        self.assertEqual((tagged.tags, tagged.content_type), ({"team": "chat"}, "text/plain"))
        self.assertEqual(tagged.expires_on.timestamp(), 1893456000)
        self.assertEqual(tagged.recoverable_days, 90)

    def test_properties_are_updated_and_a_disabled_version_is_not_read(self) -> None:
        first = self.vault.set_secret("updated", "one", tags={"a": "b"})
        newest = self.vault.set_secret("updated", "two")
        changed = self.vault.update_secret_properties("updated", first.properties.version, content_type="text/plain")
        self.assertEqual((changed.version, changed.tags), (first.properties.version, {"a": "b"}))
        off = self.vault.update_secret_properties("updated", enabled=False)
        self.assertEqual((off.version, off.enabled), (newest.properties.version, False))
        self.refused(403, "Forbidden", "SecretDisabled", lambda: self.vault.get_secret("updated"))
        self.assertEqual(self.vault.get_secret("updated", first.properties.version).value, "one")

    def test_deleted_recovered_and_purged(self) -> None:
        self.vault.set_secret("deleted", "x")
        gone = self.vault.begin_delete_secret("deleted").result()
        self.assertEqual((gone.scheduled_purge_date - gone.deleted_date).days, 90)
        self.assertIn("deleted", [one.name for one in self.vault.list_deleted_secrets()])
        with self.assertRaises(ResourceNotFoundError):
            self.vault.get_secret("deleted")
        taken = "ObjectIsDeletedButRecoverable"
        self.refused(409, "Conflict", taken, lambda: self.vault.set_secret("deleted", "y"))
        self.vault.begin_recover_deleted_secret("deleted").wait()
        self.assertEqual(self.vault.get_secret("deleted").value, "x")
        self.vault.begin_delete_secret("deleted").wait()
        self.vault.purge_deleted_secret("deleted")
        with self.assertRaises(ResourceNotFoundError):
            self.vault.get_deleted_secret("deleted")

    def test_what_the_caller_may_not_do(self) -> None:
        closed = secrets("kv-closed")
        scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-vault/providers/Microsoft.KeyVault/vaults/kv-closed"
        action = "Microsoft.KeyVault/vaults/secrets/setSecret/action"
        azure.sim("denials", {"scope": scope, "action": action})
        self.refused(403, "Forbidden", "ForbiddenByRbac", lambda: closed.set_secret("chat", "y"))
        self.assertEqual(closed.get_secret("chat").value, "x")
        azure.sim("denials", {"scope": f"{scope}/secrets/chat", "action": "*", "by": "access-policy"})
        self.refused(403, "Forbidden", "AccessDenied", lambda: closed.get_secret("chat"))
        azure.sim("barriers", {"scope": scope, "kind": "vault-firewall"})
        self.refused(403, "Forbidden", "ForbiddenByFirewall", lambda: closed.get_secret("chat"))

    def test_throttling_is_sat_out(self) -> None:
        azure.sim("faults", {"operation": "KeyVault_GetSecret", "kind": 429, "count": 2})
        self.assertEqual(self.vault.get_secret("tagged").value, "x")

    def test_references_are_told_of_and_refreshed(self) -> None:
        _, web = clients(azure)
        vault, here = secrets("kv-read"), ("rg-vault", "reader")
        told = {one.name: one for one in web.web_apps.get_app_settings_key_vault_references(*here)}
        statuses = {name: one.status for name, one in told.items()}
        self.assertEqual(statuses, {"BY_NAME": "Resolved", "BY_URI": "Resolved", "LOST": "SecretNotFound"})
        first = vault.get_secret("chat").properties.version
        one = told["BY_NAME"]
        self.assertEqual((one.reference, one.vault_name, one.secret_name), (REFERENCES["BY_NAME"], "kv-read", "chat"))
        self.assertEqual((one.source, one.identity_type.type), ("KeyVault", "SystemAssigned"))
        active = lambda: web.web_apps.get_app_setting_key_vault_reference(*here, "BY_NAME").active_version
        slot = web.web_apps.get_app_settings_key_vault_references_slot(*here, "staging")
        self.assertEqual(len(list(slot)), 3)
        self.assertFalse(list(web.web_apps.get_site_connection_string_key_vault_references(*here)))
        newest = vault.set_secret("chat", "second").properties.version
        self.assertEqual(active(), first)
        token = ManagedIdentityCredential().get_token("https://management.azure.com/.default").token
        path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-vault/providers/Microsoft.Web/sites/reader"
        url = f"{azure.base}{path}/config/configreferences/appsettings/refresh?api-version=2022-03-01"
        request = urllib.request.Request(url, b"", headers={"Authorization": f"Bearer {token}"}, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.assertEqual(answer.status, 200)
        ends = time.monotonic() + 20
        while active() != newest and time.monotonic() < ends:
            time.sleep(0.2)
        self.assertEqual(active(), newest)


def key_values(store: str, credential: Any = None) -> AzureAppConfigurationClient:
    """A client of an App Configuration store, which derives from its host for whom to ask a token."""
    credential = credential or ManagedIdentityCredential()
    return AzureAppConfigurationClient(azure.store(store), credential, connection_verify=str(azure.certificate))


class AppConfiguration(unittest.TestCase):
    def setUp(self) -> None:
        self.read, self.write = key_values("cs-read"), key_values("cs-write")

    def test_a_setting_is_told_apart_by_its_label(self) -> None:
        found = self.read.get_configuration_setting("Chat:SignalR", "prod")
        self.assertEqual((found.value, found.content_type, found.tags), ("first", "text/plain", {"team": "chat"}))
        self.assertEqual((found.key, found.label, found.read_only), ("Chat:SignalR", "prod", False))
        self.assertIsNotNone(found.last_modified)
        other = self.read.get_configuration_setting("Chat:SignalR")
        self.assertEqual((other.value, other.label), ("of no label", None))
        for key, label in [("chat:SignalR", "prod"), ("Chat:SignalR", "test"), ("none", None)]:
            with self.assertRaises(ResourceNotFoundError):
                self.read.get_configuration_setting(key, label)
        known = self.read.get_configuration_setting(
            "Chat:SignalR", "prod", etag=found.etag, match_condition=MatchConditions.IfModified
        )
        self.assertIsNone(known)

    def test_a_setting_of_odd_signs(self) -> None:
        for key in ["a/b c", "ü+&=?#", "a*b,c\\d", "x:y"]:
            self.write.set_configuration_setting(ConfigurationSetting(key=key, label="a b/ü+&", value=key))
            self.assertEqual(self.write.get_configuration_setting(key, "a b/ü+&").value, key)
            self.write.delete_configuration_setting(key, "a b/ü+&")

    def test_a_write_replaces_the_whole(self) -> None:
        setting = ConfigurationSetting(key="whole", value="one", content_type="text/plain", tags={"a": "b"})
        first = self.write.set_configuration_setting(setting)
        self.assertEqual((first.value, first.content_type, first.tags), ("one", "text/plain", {"a": "b"}))
        second = self.write.set_configuration_setting(ConfigurationSetting(key="whole", value="two"))
        self.assertEqual((second.value, second.content_type, second.tags), ("two", None, {}))
        self.assertNotEqual(first.etag, second.etag)

    def test_a_write_under_a_condition(self) -> None:
        setting = ConfigurationSetting(key="condition", value="one")
        made = self.write.add_configuration_setting(setting)
        with self.assertRaises(ResourceExistsError):
            self.write.add_configuration_setting(setting)
        self.write.set_configuration_setting(ConfigurationSetting(key="condition", value="meanwhile"))
        made.value = "two"
        with self.assertRaises(ResourceModifiedError) as refused:
            self.write.set_configuration_setting(made, match_condition=MatchConditions.IfNotModified)
        self.assertEqual((refused.exception.status_code, refused.exception.response.text()), (412, ""))
        found = self.write.get_configuration_setting("condition")
        self.assertEqual(found.value, "meanwhile")
        found.value = "three"
        done = self.write.set_configuration_setting(found, match_condition=MatchConditions.IfNotModified)
        self.assertEqual(done.value, "three")
        with self.assertRaises(ResourceModifiedError):
            self.write.delete_configuration_setting(
                "condition", etag=made.etag, match_condition=MatchConditions.IfNotModified
            )
        self.assertEqual(self.write.delete_configuration_setting("condition").value, "three")
        self.assertIsNone(self.write.delete_configuration_setting("condition"))

    def test_what_is_locked_is_read_only(self) -> None:
        fixed = self.read.get_configuration_setting("fixed")
        self.assertTrue(fixed.read_only)
        with self.assertRaises(ResourceReadOnlyError) as refused:
            self.read.set_configuration_setting(fixed)
        self.assertEqual(refused.exception.status_code, 409)
        self.assertEqual(json.loads(refused.exception.response.text())["type"], "https://azconfig.io/errors/key-locked")
        made = self.write.set_configuration_setting(ConfigurationSetting(key="lock", value="x"))
        self.assertTrue(self.write.set_read_only(made).read_only)
        with self.assertRaises(ResourceReadOnlyError):
            self.write.delete_configuration_setting("lock")
        self.assertFalse(self.write.set_read_only(made, False).read_only)
        self.write.delete_configuration_setting("lock")

    def test_lists_are_filtered_and_go_on_over_pages(self) -> None:
        many = list(self.read.list_configuration_settings(key_filter="many/*"))
        self.assertEqual([one.key for one in many], [f"many/{number:03}" for number in range(KEY_VALUES)])
        pages = list(self.read.list_configuration_settings(key_filter="many/*").by_page())
        self.assertEqual(len(pages), 3)
        found = [one.label for one in self.read.list_configuration_settings(key_filter="Chat:SignalR")]
        self.assertEqual(found, [None, "prod"])
        none = self.read.list_configuration_settings(key_filter="Chat*", label_filter="\0")
        self.assertEqual([one.value for one in none], ["of no label"])
        tagged = self.read.list_configuration_settings(tags_filter=["team=chat"])
        self.assertEqual([one.value for one in tagged], ["first"])
        fields = next(iter(self.read.list_configuration_settings(key_filter="fixed", fields=["key"])))
        self.assertEqual((fields.key, fields.value), ("fixed", None))
        self.assertEqual([one.name for one in self.read.list_labels()], [None, "prod"])
        with self.assertRaises(HttpResponseError) as refused:
            list(self.read.list_configuration_settings(key_filter="a*b"))
        self.assertEqual(refused.exception.status_code, 400)

    def test_a_reference_to_a_secret(self) -> None:
        found = self.read.get_configuration_setting("in-vault")
        self.assertIsInstance(found, SecretReferenceConfigurationSetting)
        self.assertEqual(found.secret_id, "https://kv-read.vault.azure.net/secrets/chat")
        made = SecretReferenceConfigurationSetting("made", "https://kv-read.vault.azure.net/secrets/other")
        back = self.write.set_configuration_setting(made)
        self.assertIsInstance(back, SecretReferenceConfigurationSetting)
        self.assertEqual(back.secret_id, made.secret_id)

    def test_a_sync_token_comes_back(self) -> None:
        tokens: list[tuple[str | None, str]] = []
        seen = lambda answer: tokens.append(
            (answer.http_request.headers.get("Sync-Token"), answer.http_response.headers["Sync-Token"])
        )
        client = key_values("cs-write")
        client.set_configuration_setting(ConfigurationSetting(key="sync", value="x"), raw_response_hook=seen)
        client.get_configuration_setting("sync", raw_response_hook=seen)
        (first, given), (back, _) = tokens
        self.assertIsNone(first)
        self.assertEqual(back, given.split(";sn=")[0])

    def test_tokens_that_are_taken(self) -> None:
        for audience in ["https://azconfig.io/", "https://appconfig.azure.com/"]:
            client = AzureAppConfigurationClient(
                azure.store("cs-read"),
                ManagedIdentityCredential(),
                audience=audience,
                connection_verify=str(azure.certificate),
            )
            self.assertEqual(client.get_configuration_setting("fixed").value, "x")
        with self.assertRaises(ClientAuthenticationError) as refused:
            key_values("cs-read", ForArm()).get_configuration_setting("fixed")
        self.assertEqual(refused.exception.status_code, 401)

    def test_a_connection_string(self) -> None:
        key = WORLD["appConfigurations"][0]["accessKey"]
        for endpoint, secret, good in [
            (azure.store("cs-read"), key["secret"], True),
            (azure.store("cs-read"), "b3RoZXI=", False),
            (azure.store("cs-write"), key["secret"], False),
        ]:
            client = AzureAppConfigurationClient.from_connection_string(
                f"Endpoint={endpoint};Id={key['id']};Secret={secret}", connection_verify=str(azure.certificate)
            )
            if good:
                self.assertEqual(client.get_configuration_setting("Chat:SignalR", "prod").value, "first")
                self.assertEqual(len(list(client.list_configuration_settings(key_filter="many/*"))), KEY_VALUES)
                client.set_configuration_setting(ConfigurationSetting(key="by key/ü", label="a b", value="x"))
                client.delete_configuration_setting("by key/ü", "a b")
            else:
                with self.assertRaises(ClientAuthenticationError):
                    client.get_configuration_setting("Chat:SignalR", "prod")

    def test_what_the_caller_may_not_do(self) -> None:
        closed = key_values("cs-closed")
        provider = "providers/Microsoft.AppConfiguration/configurationStores/cs-closed"
        scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-config/{provider}"
        action = "Microsoft.AppConfiguration/configurationStores/keyValues"
        azure.sim("denials", {"scope": scope, "action": f"{action}/write"})
        with self.assertRaises(HttpResponseError) as refused:
            closed.set_configuration_setting(ConfigurationSetting(key="chat", value="y"))
        self.assertEqual((refused.exception.status_code, refused.exception.response.text()), (403, ""))
        self.assertEqual(closed.get_configuration_setting("chat").value, "x")
        azure.sim("barriers", {"scope": scope, "kind": "store-firewall"})
        with self.assertRaises(HttpResponseError) as refused:
            closed.get_configuration_setting("chat")
        self.assertEqual(refused.exception.status_code, 403)
        self.assertIn("ip-address-rejected", refused.exception.response.text())

    def test_throttling_is_sat_out(self) -> None:
        azure.sim("faults", {"operation": "AppConfiguration_GetKeyValue", "kind": 429, "count": 2})
        self.assertEqual(self.read.get_configuration_setting("fixed").value, "x")


class Rotation(unittest.TestCase):
    """signalr-rekey itself, while another client reads the same resources all the time."""

    def test_a_rotation_that_cuts_nobody_off(self) -> None:
        self.rotate()

    def test_the_same_where_list_keys_lags(self) -> None:
        self.rotate("--list-keys-lags")

    def test_one_timer_envelope_to_the_handler(self) -> None:
        self.rotate(how=self.feed)

    def rotate(self, *flags: str, how: Callable[..., None] | None = None) -> None:
        world = {**WORLD, "signalr": WORLD["signalr"][:1], "sites": WORLD["sites"][:2]}
        with tempfile.TemporaryDirectory() as folder, simulated(world, pathlib.Path(folder), *FLAGS, *flags) as own:
            environment = os.environ | own.environment | {"REKEY_GRACE": "3s", "REKEY_STATE": "memory"}
            signalr, web = clients(own, secret_credential(own))
            before = signalr.signal_r.list_keys("rg-chat", "sr-chat")

            def rotated() -> bool:
                now = signalr.signal_r.list_keys("rg-chat", "sr-chat")
                return now.primary_key != before.primary_key and now.secondary_key != before.secondary_key

            done = threading.Event()

            def read() -> int:
                reads = 0
                while not done.wait(0.05):
                    signalr.signal_r.list_keys("rg-chat", "sr-chat")
                    web.web_apps.list_application_settings("rg-chat", "shop")
                    list(web.web_apps.list_slots("rg-chat", "shop"))
                    reads += 1
                return reads

            with ThreadPoolExecutor() as pool:
                reader = pool.submit(read)
                try:
                    (how or self.command)(own, environment, rotated)
                finally:
                    done.set()
            time.sleep(1.5)  # the last restart, and the last client tokens
            after = signalr.signal_r.list_keys("rg-chat", "sr-chat")
            report = own.sim("report")
            holders = [
                web.web_apps.list_application_settings("rg-chat", "shop"),
                web.web_apps.list_application_settings_slot("rg-chat", "shop", "staging"),
                web.web_apps.list_application_settings("rg-chat", "worker"),
            ]
        self.assertGreater(reader.result(), 10, "the reader did not come to read")
        self.assertGreater(report["calls"], 100)
        self.assertEqual((report["refused"], report["outages"]), (0, []))
        for old, new_key in [(before.primary_key, after.primary_key), (before.secondary_key, after.secondary_key)]:
            self.assertNotEqual(old, new_key)
        new = (after.primary_connection_string, after.secondary_connection_string)
        for settings in holders:
            self.assertTrue(any(value in new for value in settings.properties.values()))

    def command(self, own: Azure, environment: dict[str, str], _: Callable[[], bool]) -> None:
        """`signalr-rekey rotate`, to its end."""
        command = [PROGRAM, "rotate", "--json", "--config", own.config]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def feed(self, own: Azure, environment: dict[str, str], rotated: Callable[[], bool]) -> None:
        """`signalr-rekey handler`, as the Functions host runs it: told a port, and asked by the timer until all that
        is due is done. What waits for the end of a grace is left to a later tick."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = environment | {"FUNCTIONS_CUSTOMHANDLER_PORT": str(port)}
        with open(own.config.with_name("handler.log"), "w") as log:
            command = [PROGRAM, "handler", "--config", own.config]
            handler = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            answer = {}
            for _ in range(100):
                with contextlib.suppress(ConnectionRefusedError):
                    answer = tick(port)
                    if rotated():
                        return
                time.sleep(0.5)
            self.fail(f"no end of it: {answer}")
        finally:
            stop(handler)


class Publishers(unittest.TestCase):
    """What Microsoft's publishers write of an announcement, as `signalr-rekey notice` understands it."""

    DEADLINE = datetime.datetime(2026, 9, 24, 13)
    """Of no time zone: azure-core takes such a time for UTC, and `isoformat` writes it without an offset."""

    def test_cloud_events(self) -> None:
        kind, source = "SignalRRekey.RegenerationAnnounced", "/mailbox/azure-notices"
        text = json.dumps(self.data(self.DEADLINE.isoformat()))
        self.assertNotIn("Z", text)
        for data in [self.data(self.DEADLINE), self.data(self.DEADLINE.isoformat()), text, text.encode()]:
            written = published(CloudEvent(source=source, type=kind, data=data))
            self.assertEqual(b"data_base64" in written, isinstance(data, bytes))
            self.understood(written)

    def test_events_of_event_grids_schema(self) -> None:
        for deadline in [self.DEADLINE, self.DEADLINE.isoformat()]:
            event = EventGridEvent(
                subject="mail",
                event_type="SignalRRekey.RegenerationAnnounced",
                data=self.data(deadline),
                data_version="1",
            )
            self.understood(published(event))

    def data(self, deadline: datetime.datetime | str) -> dict[str, Any]:
        return {"instance": self.id("Microsoft.SignalRService/signalR/sr-chat"), "keyTypes": ["Primary"], "deadline": deadline}

    def id(self, resource: str) -> str:
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-chat/providers/{resource}"

    def understood(self, written: bytes) -> None:
        instance, app = self.id("Microsoft.SignalRService/signalR/sr-chat"), self.id("Microsoft.Web/sites/shop")
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(f'[[instance]]\nid = "{instance}"\napps = ["{app}"]\n')
            config.flush()
            command = [PROGRAM, "notice", "-", "--config", config.name]
            done = subprocess.run(command, input=written, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        means = b"the Primary key of sr-chat will be regenerated at 2026-09-24T13:00:00Z"
        self.assertIn(means, done.stdout, written)


def published(event: Any) -> bytes:
    """What a topic would get."""
    written: list[bytes] = []

    class Topic(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            written.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Topic) as topic:
        threading.Thread(target=topic.handle_request, daemon=True).start()
        endpoint = f"http://127.0.0.1:{topic.server_port}/api/events"
        EventGridPublisherClient(endpoint, AzureKeyCredential("a-key")).send(event)
    return written[0]


def tick(port: int) -> dict[str, Any]:
    """Sends what the Functions host sends when a timer fires, and answers what it gets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with contextlib.closing(connection):
        connection.request("POST", "/RotateKeys", json.dumps(ENVELOPE), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = json.load(answer)
    assert answer.status == 200 and "Logs" in body, (answer.status, body)
    return body


FLAGS = ("--regenerate-takes", "1s", "--restart-takes", "500ms", "--client-token-life", "1s")

ENVELOPE = {
    "Data": {
        "timer": {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": {
                "Last": "2025-01-01T00:00:00+00:00",
                "LastUpdated": "2025-01-01T00:00:00+00:00",
                "Next": "2025-01-01T00:05:00+00:00",
            },
            "IsPastDue": False,
        }
    },
    "Metadata": {"sys": {"MethodName": "RotateKeys", "UtcNow": "2025-01-01T00:00:00Z", "RandGuid": str(uuid.UUID(int=1))}},
}


def call(
    azure: Azure,
    key: str,
    path: str = "/api/hubs/chat/users/nobody",
    method: str = "HEAD",
    host: str = "sr-chat.service.signalr.net",
    audience: str | None = None,
    life: int = 600,
) -> int:
    """Makes a signed call of the data plane and answers its status. The `Host` header says whose it is."""
    claims = {"aud": audience or f"https://{host}{path}", "exp": int(time.time()) + life}
    token = jwt.encode(claims, key, "HS256")
    url = f"{azure.base}{path}?api-version=2022-06-01"
    request = urllib.request.Request(url, b"{}" if method == "POST" else None, method=method)
    request.add_header("Host", host)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, simulated(WHOLE, pathlib.Path(folder), *FLAGS) as azure:
        os.environ |= azure.environment
        container_checks.azure = azure
        sys.exit(tested())
