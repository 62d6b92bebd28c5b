//! What a check has shown: who holds what, who is cut off, and what could not be seen.

use chrono::{DateTime, Utc};
use rekey_core::model::{
    AppId, ConsumerId, IdFault, KeyValueId, Malformed, SecretId, printable, printable_list,
};
use rekey_core::plan::{
    Awaited, Consumer, ConsumerRef, CutOff, Holding, SettingFault, Snapshot, Unknown, Whereabouts,
};

use super::brief::called;
use super::{InWords, brief, file_name, readable};

/// What the operator should know of a check: the apps that are gone, what could not be seen, and the secrets that nothing leads
/// to any more.
pub fn warnings(snapshot: &Snapshot) -> Vec<String> {
    let left = snapshot.left_behind.iter().map(|consumer| match consumer {
        ConsumerId::KeyVaultSecret(secret) => left_behind(secret),
        other => left_behind_value(other),
    });
    snapshot.gone.iter().map(gone).chain(snapshot.unknown.iter().map(InWords::in_words)).chain(left).collect()
}

/// A secret that held a key, and that nothing that is configured leads to any more.
pub fn left_behind(secret: &SecretId) -> String {
    format!(
        "nothing that is configured refers to the secret {secret} any more; it held a key of the service, so it is rotated on while \
         it holds one, and its readers have their time. Name it in vault_secrets in {}, with readers_within if somebody reads \
         it, or with unused = true if nobody does",
        file_name()
    )
}

/// A key-value that held a key, and that nothing that is configured leads to any more.
fn left_behind_value(key_value: &ConsumerId) -> String {
    format!(
        "nothing that is configured refers to the key-value {key_value} any more; it held a key of the service, so it is rotated \
         on while it holds one, and its readers have their time. Name it in app_configuration in {}, with readers_within, or \
         delete it if nobody reads it",
        file_name()
    )
}

/// An app that was deleted, as far as can be seen.
pub(super) fn gone(app: &ConsumerId) -> String {
    format!(
        "{} was deleted, as far as can be seen: no subscription that can be listed has a site of its name. Take it out of {}, or \
         name its new id there if it was moved to a subscription that cannot be listed",
        app.name(),
        file_name()
    )
}

/// What an operator who looks at a check may want to know: what is neither followed nor taken for ours.
pub fn notes(snapshot: &Snapshot) -> Vec<String> {
    let note = |(app, names): &(ConsumerId, Vec<String>)| {
        format!(
            "{} has references that are not followed ({}); if one of them leads to a connection string of the service, name \
             it in the app's settings in {}",
            called(app),
            printable_list(names),
            file_name()
        )
    };
    let changed = snapshot.changed.iter().map(|(app, at)| changed_since(app, *at));
    let before = snapshot.given_before.iter().map(|(app, of)| given_before(app, of));
    snapshot.references.iter().map(note).chain(changed).chain(before).collect()
}

/// Whoever was given what another consumer holds, before that was changed.
fn given_before(app: &ConsumerId, of: &ConsumerId) -> String {
    let locks = match of {
        ConsumerId::KeyValue(_) => " (locking and unlocking it are changes too)",
        _ => "",
    };
    format!(
        "the {} was changed after {} was last given it{locks}: so that app counts as one that may hold either key, until a \
         run restarts it",
        called(of),
        app.name(),
    )
}

/// A container app that somebody changed.
pub(super) fn changed_since(app: &ConsumerId, at: DateTime<Utc>) -> String {
    format!(
        "the {} was changed at {}, after it was last seen with the key that it holds: a secret of it may have held another key \
         meanwhile, which Azure shows nowhere, and who started then goes on with that. So it counts as one that may hold \
         either key until it is restarted, and the grace of the other key begins anew",
        called(app),
        readable(at)
    )
}

/// A setting that refers to a secret.
pub fn follows(name: &str, secret: &SecretId) -> String {
    let name = printable(name);
    format!("{name} refers to the Key Vault secret {secret}, which is followed")
}

/// A setting that refers to a key-value.
pub fn refers_to(name: &str, key_value: &KeyValueId) -> String {
    let name = printable(name);
    format!("{name} refers to the key-value {key_value} of App Configuration, which is followed")
}

/// What a secret or key-value holds that nothing refers to.
pub fn kept(holds: &str) -> String {
    format!("it holds {holds}, and no app that was found refers to it")
}

/// That it holds one which cannot be replaced there.
pub const KEPT_OUT_OF_REACH: &str =
    "it holds a key in a way in which it cannot be replaced: it blocks until that is repaired";

/// Who reads it.
pub const KEPT_READERS: &str =
    "who reads it is not known: readers_within is how long they may take to read it again";

/// A link of Service Connector that gave an app a key.
pub fn linked_by(name: &str) -> String {
    let name = printable(name);
    format!("Service Connector's link {name} leads to the service, by a key")
}

/// Who is refused now.
pub fn stale(who: &[CutOff]) -> String {
    format!(
        "stale: these hold an invalid key and are being refused: {}",
        brief::named(&who.iter().collect::<Vec<_>>(), who_is)
    )
}

sentences! {
    CUT_OFF = "cut off, because their key is invalid: ";
    WRITTEN = "written, but not yet read back, which the next run does: ";
}

/// Whom a run leaves refused.
pub fn cut_off_by_keys(who: &[CutOff]) -> String {
    let (written, refused): (Vec<&CutOff>, Vec<_>) =
        who.iter().partition(|who| matches!(who, CutOff::Unconfirmed(_)));
    let told = [(CUT_OFF, refused), (WRITTEN, written)]
        .map(|(what, who)| (!who.is_empty()).then(|| format!("{what}{}", brief::named(&who, who_is))));
    told.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Who that is, where there is no room for more.
fn who_is(cut_off: &CutOff) -> String {
    cut_off.app().map_or_else(|| cut_off.in_words(), called)
}

/// Whether a text has any of that in it.
pub(crate) fn names_cut_off(text: &str) -> bool {
    [CUT_OFF, WRITTEN].iter().any(|what| text.contains(what))
}

words! {
    impl InWords for CutOff {
        Self::Stale(consumer) | Self::Unconfirmed(consumer) => "{}", consumer.in_words();
        Self::MayBe(consumer) => "{}, very likely: it was last seen with a key that is invalid now, and nothing tells that it has \
            left it", consumer.in_words();
        Self::AsLikelyNot(consumer) => "{}, perhaps: it may run with a key that is invalid now, or with one that is valid; nothing \
            tells with which", consumer.in_words();
        Self::InOtherText { app, name } => "{} ({}, where the key cannot be replaced)", called(app), printable(name);
        Self::OutOfSight(app) => "{} (very likely: it was last seen with a key that is invalid now)", called(app);
        Self::Perhaps(app) => "{} (perhaps: by what it was last seen with, it has a key that is invalid now, or one that is valid)",
            called(app);
        Self::External { consumer, owner, ticket } =>
            "{} (by what was last reported of it; nobody but it, or its owner, can give it another{})",
            called(consumer), whom_to_ask(owner.as_ref(), ticket.as_ref());
        Self::OfNoKeys(app) => "{} (it was last seen with a key)", called(app);
        Self::Unchecked => "apps that could not be checked in time, after a key was regenerated from outside";
    }
}

words! {
    impl InWords for ConsumerRef {
        Self { app: app @ ConsumerId::AppService(_), section: None, name } => "{} (which reads {})", app.name(), printable(name);
        at @ Self { app: ConsumerId::AppService(_) | ConsumerId::ContainerApp(_) | ConsumerId::StaticWebApp(_), .. } =>
            "{} ({})", called(&at.app), at.entry();
        Self { app, .. } => "{}", called(app);
    }
}

/// Whom people ask about what only others can change, and where they find what is to be done; behind other words.
fn whom_to_ask(owner: Option<&String>, ticket: Option<&String>) -> String {
    let owner = owner.map_or(String::new(), |owner| format!("; owner {owner}"));
    let ticket = ticket.map_or(String::new(), |ticket| format!("; {ticket}"));
    format!("{owner}{ticket}")
}

/// What a consumer holds, or may hold; behind its name.
pub fn holds(consumer: &Consumer, snapshot: &Snapshot) -> String {
    let holds = if snapshot.is_sure(&consumer.at) { "holds" } else { "may hold" };
    format!("{holds} {}", consumer.holds.in_words())
}

impl InWords for Awaited {
    fn in_words(&self) -> String {
        let Self { consumer, since, owner, ticket, .. } = self;
        let asks = whom_to_ask(owner.as_ref(), ticket.as_ref());
        format!("{} (asked at {}{asks})", called(consumer), readable(*since))
    }
}

words! {
    impl InWords for Holding {
        Self::Valid(key_type) => "the {key_type} key";
        Self::Stale(fingerprint) => "an invalid key ({fingerprint})";
        Self::Identity => "no key (it connects by identity)";
    }
}

words! {
    impl InWords for Malformed {
        Self::TooFewParts => "it has fewer than two name=value parts";
        Self::Duplicate => "it has the same part twice";
        Self::Endpoint => "its Endpoint is missing or not an http(s) URL";
        Self::Version => "its Version is not 1.x";
        Self::Port => "its Port is not between 1 and 65535";
    }
}

words! {
    impl InWords for IdFault {
        Self::Subscription => "its subscription is not an id such as 00000000-0000-0000-0000-000000000000";
        Self::ResourceGroup =>
            "its resource group is not a valid name (letters, digits, - _ . ( ), at most 90, no full stop at the end)";
        Self::Site => "its site is not a valid name (letters, digits and -, at most 60, no - at either end)";
        Self::Service =>
            "its service name is not valid (letters, digits and -, at most 63, a letter first, no - at the end)";
        Self::ContainerApp =>
            "its name is not one of a container app or job (letters, digits and -, at most 32, no - at either end)";
        Self::StaticWebApp =>
            "its name is not one of a static web app (letters, digits and -, at most 60, no - at either end)";
        Self::Slot => "its slot is not a valid name (letters, digits and -, at most 59, no - at either end)";
    }
}

impl InWords for Unknown {
    fn in_words(&self) -> String {
        let file = file_name();
        words!(match self {
            Self::Unreadable { app: ConsumerId::KeyVaultSecret(id), detail, .. } => "the secret {id} is out of sight: {detail}";
            Self::Unreadable { app: app @ (ConsumerId::ContainerApp(_) | ConsumerId::StaticWebApp(_)), detail, .. } =>
                "the {} is out of sight: {detail}", called(app);
            Self::Reference { app: app @ ConsumerId::ContainerApp(_), name, why, .. } =>
                "the secret {} of the {}: {why}", printable(name), called(app);
            Self::Reference { app, name, why, .. } => "{} of {} refers to a Key Vault secret: {why}",
                printable(name), app.name();
            Self::Unreadable { app: ConsumerId::KeyValue(id), detail, .. } => "the key-value {id} is out of sight: {detail}";
            Self::KeyValueReference { app, name, to, why, .. } if name == &to.to_string() => "{} reads the key-value {to}: {why}", app.name();
            Self::KeyValueReference { app, name, to, why, .. } => "{} of {} refers to the key-value {to}: {why}", printable(name), app.name();
            Self::Unreadable { app, detail, .. } => "cannot read the settings of {}: {detail}", app.name();
            Self::NeverSeen { app, meant } =>
                "{} in resource group {} does not exist and was never seen: correct its id in {file}{}",
                app.name(), group(app), did_you_mean(meant.as_ref(), app);
            Self::Vanished { app, whereabouts: Whereabouts::Moved(to), .. } =>
                "{} is no longer in resource group {}, and may still hold the key that it last held; there is a site of its \
                name elsewhere: name that in {file} instead: {to}", app.name(), group(app);
            Self::Vanished { app, whereabouts: Whereabouts::Unclear(why), .. } =>
                "{} is no longer in resource group {}, and may still hold the key that it last held: it cannot be told \
                whether it was deleted or moved ({why}). If it was deleted, take it out of {file}; if it was moved, name its \
                new id", app.name(), group(app);
            Self::NoConsumer { app: ConsumerId::KeyVaultSecret(id) } =>
                "the secret {id}, which {file} names, holds no key of the service";
            Self::NoConsumer { app: app @ ConsumerId::ContainerApp(_) } =>
                "no secret of the {} holds a key or a connection string of the service; take it out of {file} if it needs none",
                called(app);
            Self::NoConsumer { app: app @ ConsumerId::StaticWebApp(_) } =>
                "no setting of the {} holds a key or a connection string of the service; take it out of {file} if it needs none",
                called(app);
            Self::NoConsumer { app: ConsumerId::KeyValue(id) } =>
                "the key-value {id}, which {file} names, holds no key of the service";
            Self::NoConsumer { app } =>
                "no setting of {} holds a key or a connection string of the service; if the app needs none, give it `may_hold_none = \
                true` in {file}", app.name();
            Self::OnlyReferences { app, names } =>
                "{} shows no connection string of the service, but references that may lead to one: {}; name the settings \
                that hold one in {file}", called(app), printable_list(names);
            Self::NeverReported { consumer: consumer @ ConsumerId::Manual(_), owner, ticket } =>
                "nobody has said yet which key {} holds, so it may hold either: `signalr-rekey acknowledge` says it{}",
                called(consumer), whom_to_ask(owner.as_ref(), ticket.as_ref());
            Self::NeverReported { consumer, .. } =>
                "{} has never reported which key it holds, so it may hold either: have it send a report (docs/reporters.md)",
                called(consumer);
            Self::ExternalStale { consumer: consumer @ ConsumerId::Manual(_), held, since, owner, ticket } =>
                "{} holds an invalid key ({held}), as was said at {}: it is cut off until it is given a valid key and that is \
                acknowledged. It is not ours to write: tell whoever changes it{}",
                called(consumer), readable(*since), whom_to_ask(owner.as_ref(), ticket.as_ref());
            Self::ExternalStale { consumer, held, since, .. } =>
                "{} holds an invalid key ({held}), as was reported at {}: it is cut off until it takes a valid key and reports \
                it. It is not ours to write; see that its agent runs", called(consumer), readable(*since);
            Self::Setting { app, name, fault } => "{}", of_setting(&called(app), &printable(name), *fault);
        })
    }
}

/// A setting that is not what it must be.
fn of_setting(app: &str, name: &str, fault: SettingFault) -> String {
    let file = file_name();
    words!(match fault {
        SettingFault::KeyVaultReference =>
            "{name} of {app} is a Key Vault reference that is not followed: the app may hold a key that is invalid, \
            or will be. Leave the reference as it is, and compare the secret with the service's keys yourself";
        SettingFault::AppConfigurationReference =>
            "{name} of {app} is an App Configuration reference that is not followed: the app may hold a key that is invalid, \
            or will be. Leave the reference as it is, and compare the value with the service's keys yourself";
        SettingFault::MistypedReference =>
            "{name} of {app} begins like a reference and is not written as one, so the app is given that text and no key: write \
            @Microsoft.KeyVault(SecretUri=https://VAULT.vault.azure.net/secrets/NAME), \
            @Microsoft.KeyVault(VaultName=VAULT;SecretName=NAME) or \
            @Microsoft.AppConfiguration(Endpoint=https://STORE.azconfig.io; Key=KEY; Label=LABEL)";
        SettingFault::Locked =>
            "{name} of {app} is locked, so that it cannot be given another key: unlock it (`az appconfig kv unlock`)";
        SettingFault::Unnamed =>
            "{name} of {app} holds a key of the service, but {file} names only other settings of this app: add this one";
        SettingFault::Missing => "{app} has no setting {name}, which {file} names";
        SettingFault::NotOurs =>
            "{name} of {app}, which {file} names, holds neither a key nor a connection string of the service";
        SettingFault::KeyInOtherText =>
            "{name} of {app} holds a key of the service where another cannot be put in its place for sure: in base64, in a \
            reference, within a longer word, or behind escapes that do not tell how its signs are written; let the app read \
            the key, or a connection string, in plain text";
        SettingFault::StaleKeyInOtherText =>
            "{name} of {app} holds an invalid key where another cannot be put in its place for sure (in base64, in a reference, \
            within a longer word, behind unclear escapes, or an access key that was never seen before): the app is being \
            refused. Give it a valid key yourself";
        SettingFault::InTemplate =>
            "the variable {name} of {app} holds a key of the service in its template: keep it in a secret of the container app, \
            and let the variable refer to that (`az containerapp secret set`, then `az containerapp update --set-env-vars \
            {name}=secretref:…`)";
        SettingFault::Placeholder =>
            "{name} of {app} has a placeholder where its key belongs, which is never overwritten; check what fills it in";
        SettingFault::InvalidString(fault) =>
            "{name} of {app} is meant for the service, but is not a valid connection string: {}; correct it",
            fault.in_words();
        SettingFault::OtherServicesHost =>
            "{name} of {app} names another service, together with the host or a former key of this one; correct the string, \
            or check whether the journal belongs to this service";
    })
}

/// The resource group of an app.
fn group(id: &ConsumerId) -> &str {
    id.app().map_or("", AppId::group)
}

/// The site that may be meant, with its whole id if it is not where the other would be.
fn did_you_mean(meant: Option<&ConsumerId>, app: &ConsumerId) -> String {
    let Some(meant) = meant else { return String::new() };
    let place =
        |id: &ConsumerId| id.app().map(|id| (id.subscription().to_lowercase(), id.group().to_lowercase()));
    let named = if place(meant) == place(app) { meant.name() } else { meant.to_string() };
    format!("; did you mean {named}?")
}
