"""What a script on Microsoft's management SDK does to move services to a new key: for each service it regenerates one key,
waits for it, lists the keys, and for each app reads the settings and writes them; services side by side, as many as it has
threads. What it leaves out: the second key, a grace period, the proof that the new key works, the connection strings, a look
at what was written, a journal, locks, and apps that it was not told of.

The clients are made, and the token is there, before the time begins, as in a handler that has run before.

Arguments: the base URL, the threads, and how many seconds the SDK waits between two polls where Azure names no time. The
world comes by standard input; the seconds and the peak memory (KiB) leave as JSON."""

import json
import re
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import ManagedIdentityCredential
from azure.mgmt.signalr import SignalRManagementClient
from azure.mgmt.web import WebSiteManagementClient

SCOPE = "https://management.azure.com/.default"
KEY = re.compile("AccessKey=[^;]*")


class Bearer(SansIOHTTPPolicy):
    """The token of every request. The SDK's own policy insists on https, whose front would cost time that is not the SDK's."""

    def __init__(self) -> None:
        self.credential = ManagedIdentityCredential()
        self.credential.get_token(SCOPE)

    def on_request(self, request: Any) -> None:
        request.http_request.headers["Authorization"] = f"Bearer {self.credential.get_token(SCOPE).token}"


def main() -> None:
    base, threads, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    world = json.load(sys.stdin)
    how = {
        "base_url": base,
        "credential_scopes": [SCOPE],
        "authentication_policy": Bearer(),
        "polling_interval": interval,
    }
    signalr = SignalRManagementClient(ManagedIdentityCredential(), world["subscription"], **how)
    web = WebSiteManagementClient(ManagedIdentityCredential(), world["subscription"], **how)

    def move(service: Any) -> None:
        group, name = service["group"], service["name"]
        signalr.signal_r.begin_regenerate_key(group, name, {"keyType": "Secondary"}).result()
        key = signalr.signal_r.list_keys(group, name).secondary_key
        for app in service["apps"]:
            settings = web.web_apps.list_application_settings(group, app)
            values = dict(settings.properties)
            for setting, value in values.items():
                if name in value:
                    values[setting] = KEY.sub(lambda _: f"AccessKey={key}", value)
            web.web_apps.update_application_settings(group, app, {"properties": values})

    start = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(move, world["signalr"]))
    took = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": took, "peak": peak}))


main()
