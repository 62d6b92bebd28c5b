//! What the identity must be allowed to do.

/// Each operation of this client and the Azure RBAC actions that it needs, one a line (docs: Azure permissions for Web
/// and Mobile; `SignalR_RegenerateKey` and its polls as in Microsoft's operation list). The first action of an operation
/// is the one that an error names.
pub const ACTIONS: &[(&str, &str)] = &[
    ("SignalR_Get", "Microsoft.SignalRService/SignalR/read"),
    ("SignalR_ListBySubscription", "Microsoft.SignalRService/SignalR/read"),
    ("SignalR_ListKeys", "Microsoft.SignalRService/SignalR/listkeys/action"),
    ("SignalR_RegenerateKey", "Microsoft.SignalRService/SignalR/regeneratekey/action"),
    ("SignalR_OperationStatus", "Microsoft.SignalRService/SignalR/operationStatuses/read"),
    // Older api-versions, and some regions still, answer with URLs below locations/.
    ("SignalR_OperationStatus", "Microsoft.SignalRService/locations/operationStatuses/signalr/read"),
    ("SignalR_OperationResult", "Microsoft.SignalRService/SignalR/operationResults/read"),
    ("SignalR_OperationResult", "Microsoft.SignalRService/locations/operationresults/signalr/read"),
    ("SignalRReplicas_List", "Microsoft.SignalRService/SignalR/replicas/read"),
    ("SignalR_ListByResourceGroup", "Microsoft.SignalRService/SignalR/read"),
    ("WebApps_Get", "Microsoft.Web/sites/Read"),
    ("WebApps_List", "Microsoft.Web/sites/Read"),
    ("WebApps_ListByResourceGroup", "Microsoft.Web/sites/Read"),
    ("WebApps_ListSlots", "Microsoft.Web/sites/slots/Read"),
    ("WebApps_ListApplicationSettings", "Microsoft.Web/sites/config/list/Action"),
    ("WebApps_ListApplicationSettingsSlot", "Microsoft.Web/sites/slots/config/list/Action"),
    ("WebApps_ListConnectionStrings", "Microsoft.Web/sites/config/list/Action"),
    ("WebApps_ListConnectionStringsSlot", "Microsoft.Web/sites/slots/config/list/Action"),
    ("WebApps_UpdateApplicationSettings", "Microsoft.Web/sites/config/Write"),
    ("WebApps_UpdateApplicationSettingsSlot", "Microsoft.Web/sites/slots/config/Write"),
    ("WebApps_UpdateConnectionStrings", "Microsoft.Web/sites/config/Write"),
    ("WebApps_UpdateConnectionStringsSlot", "Microsoft.Web/sites/slots/config/Write"),
    ("Subscriptions_List", "Microsoft.Resources/subscriptions/read"),
    ("Permissions_ListForResource", "Microsoft.Authorization/permissions/read"),
];

/// The operations that the deployed handler uses: its passes look, regenerate, follow and repoint, and at the first timer's
/// run it asks what it is granted. The others are for
/// commands that a person runs as himself, so the identity in `infra/` is not allowed them. Kept by `tests/infra.rs`,
/// which plays rotations and compares, and which compares the roles in `infra/` with the actions of exactly these.
pub const HANDLER: &[&str] = &[
    "SignalR_ListKeys",
    "SignalR_RegenerateKey",
    "SignalR_OperationStatus",
    "SignalR_OperationResult",
    "Permissions_ListForResource",
    "WebApps_ListApplicationSettings",
    "WebApps_ListApplicationSettingsSlot",
    "WebApps_ListConnectionStrings",
    "WebApps_ListConnectionStringsSlot",
    "WebApps_UpdateApplicationSettings",
    "WebApps_UpdateApplicationSettingsSlot",
    "WebApps_UpdateConnectionStrings",
    "WebApps_UpdateConnectionStringsSlot",
];

/// The action that an operation needs first.
pub(super) fn action(operation: &str) -> Option<&'static str> {
    ACTIONS.iter().find(|(name, _)| *name == operation).map(|(_, action)| *action)
}
