//! Events: what one means and wants, what its sender probably did not mean, and what is wrong with one.

use rekey_core::intent::{Cause, Caution, Fault, Foreseen, Intent, Oddity};
use rekey_core::model::{ConsumerId, ServiceId};
use rekey_core::notice::{BridgeFault, Ignored, Malformed, Misread, Notice};

use super::{InWords, file_name, readable};

sentences! {
    ignored(why, so_far) = "ignored: {why} ({so_far} ignored so far)";
    // A body that holds no event, as a handler and `notice` refuse it.
    not_understood(malformed) = "cannot understand {malformed}. What is expected is an event of Event Grid, a CloudEvent, a \
        list of them, or an alert of Azure Monitor";
    not_a_report(malformed) = "{malformed}. Nothing is on record of it. A report is {{\"instance\": \"RESOURCE ID\", \"name\": \
        \"NAME\", \"fingerprint\": \"16 HEXADECIMAL DIGITS\"}}";
    not_a_question(malformed) = "{malformed}. Status takes ?format=json and ?instance=NAME, and nothing else";
    not_the_envelope(malformed) = "not the envelope of this function: {malformed}";
    // At the end of the line of a run of the timer: how many services were read in full, where that were not all.
    keys_alone(alone, read) = "in all, of {alone} services the keys alone were checked, and of {read} the apps as well";
    // What a handler says of a call, beside what came of it. Event Grid and action groups send again what is answered 503.
    NO_POST = "a function is called by POST";
    NO_FUNCTION = "no such function; there are RotateKeys, OnKeyNotice, OnAlert, OnReport and Status";
    open_to_others(address) = "{address} is open to others; the host calls on 127.0.0.1";
    NO_CONNECTION_TAKEN = "a connection could not be taken";
    TOO_MANY_AT_ONCE = "too many at once; the next delivery carries on, and what was sent by hand has to be sent again";
    ABOUT_TO_END = "this process is about to end; the next delivery carries on, and what was sent by hand has to be sent \
        again";
    STILL_WORKING = "still working; the next delivery carries on";
    ended_well_late(name) = "{name}: what was answered as still working has ended well";
    failed_late(name, why) = "{name}: what was answered as still working has failed: {why}";
    not_finished(name, why) = "{name} is not finished: {why}";
    failed(name, why) = "{name} failed: {why}";
    refused(name, why) = "{name} refused what it was sent: {why}";
    took_nothing_on(name, why) = "{name} took nothing on: {why}";
    passed_over(name, why) = "{name} passed over what it was sent: {why}; no event of Azure is that large";
    shared_run(run) = "shared with the run {run}, which another invocation asked for";
    own_run(run) = "done by the run {run}";
    // What came of a report.
    report_recorded(who, holds) = "{who}: on record: it holds {holds}";
    report_known(who, holds) = "{who}: this was on record already: it holds {holds}";
    report_of_the_key(key_type) = "the {key_type} key";
    REPORT_OF_NO_KEY = "a key that is neither of the two of the last check. If that key was not made a moment ago, it is invalid, \
        and nothing is regenerated until a valid one is reported";
    REPORT_BEFORE_A_CHECK = "a key of a service that was not checked yet";
    report_of_no_service(service, file) = "{service} is not in {file}; nothing is on record of it";
    report_of_no_name(name, service, file) = "{name} is neither among the reporters nor among the manual consumers of {service} in \
        {file}; nothing is on record of it";
    report_not_taken(who, why) = "{who}: not on record: {why}; send it again";
    A_COPY = "a copy of an event that was already handled";
}

impl InWords for Notice {
    fn in_words(&self) -> String {
        let named = |instance: &Option<ServiceId>| {
            instance.as_ref().map_or("an unnamed service".to_owned(), |id| id.name().to_owned())
        };
        words!(match self {
            Self::Regenerated { instance } => "a key of {} was regenerated", named(instance);
            Self::RegenerationFailed { instance } => "a regeneration of a key of {} failed", named(instance);
            Self::InstanceChanged { instance } => "{} changed", instance.name();
            Self::AppChanged { app } => "the app {} changed", app.name();
            Self::ServiceHealth { signalr: true, .. } => "Azure Service Health names SignalR";
            Self::ServiceHealth { signalr: false, subscriptions } => "Azure Service Health names {}",
                subscriptions.join(", ");
            Self::Announced { instance, keys, deadline } => "the {} key of {} will be regenerated{}",
                keys.iter().filter(|(_, announced)| **announced).map(|(key, _)| key.as_str())
                    .collect::<Vec<_>>().join(" and the "),
                instance.name(),
                deadline.map_or_else(String::new, |at| format!(" at {}", readable(at)));
            Self::Compromised { instance } => "the keys of {} are reported as compromised", instance.name();
            Self::Approved { instance, approving } => "{} approves the rotation of {} that replaces the key {}",
                approving.by, instance.name(), approving.key;
            Self::Ignored(ignored) => "{}", ignored.in_words();
            Self::Unreadable { fault } => "not understood: {}", fault.in_words();
        })
    }
}

words! {
    impl InWords for Ignored {
        Self::Reading => "keys or settings were read";
        Self::OtherAction => "an action that changes no key";
        Self::Unrelated => "unrelated event";
    }
}

words! {
    impl InWords for BridgeFault {
        Self::AlmostOurs => "its type ends like one of the bridge's but does not begin with SignalRRekey.";
        Self::UnknownType => "its type is none of SignalRRekey.RegenerationAnnounced, SignalRRekey.KeysExposed and \
            SignalRRekey.RotationApproved";
        Self::NoInstance => "its data has no instance";
        Self::NotAnInstance => "its data.instance is not the resource id of a SignalR service";
        Self::Misspelt(meant) => "its data has an unknown member; did you mean {meant}?";
        Self::UnknownMember =>
            "its data has an unknown member, which may be meant for one that is known: take it out";
        Self::NotAKeyType => "its data.keyTypes has something other than Primary and Secondary";
        Self::NoKeyTypes => "its data.keyTypes is empty";
        Self::NoKey => "its data.key is not the fingerprint of the key that is to be replaced; `plan` tells it";
        Self::NoName => "its data.by does not say who approves, on one line of at most 100 characters, or has a key in it";
        Self::NoTime => "it has no time with Z or an offset, so that it could be sent again for ever";
        Self::NotATime => "its data.deadline is not a time such as 2026-09-24T13:00:00Z";
    }
}

words! {
    impl InWords for Misread {
        Self::TooMany(most) => "it has more than {most} events";
        Self::NoEvents => "it is neither an event nor a list of events";
        Self::NoObject => "it is not an object";
        Self::NoType => "it has neither eventType nor type";
        Self::OldAlert =>
            "it is an alert without the common alert schema: enable that in the action group (the webhook action's \
            \"Enable the common alert schema\")";
    }
}

words! { impl InWords for Malformed { Self { member, fault } => "{member}: {}", fault.in_words(); } }

/// Why an event is refused.
pub(crate) fn fault(fault: &Fault) -> String {
    let file = file_name();
    words!(match fault {
        Fault::Unreadable { event, fault } => "cannot understand the event {}: {}",
            event.as_deref().unwrap_or("without id"), fault.in_words();
        Fault::NotConfigured { notice, service, meant: None } =>
            "{}, but {service} is not in {file}: nothing was rotated", notice.in_words();
        Fault::NotConfigured { notice, service, meant: Some(meant) } =>
            "{}, but {service} is not in {file}: nothing was rotated; did you mean {meant}?", notice.in_words();
    })
}

/// What would be done about an event, in a line or two for each service.
pub(crate) fn foreseen(foreseen: &Foreseen) -> Vec<String> {
    let wanted =
        foreseen.intents.iter().map(|(service, intent)| format!("{}: {}", service.name(), wants(intent)));
    let watched = foreseen.watched.iter().map(|(service, watch)| {
        let (name, from, until) = (service.name(), readable(watch.from), readable(watch.until));
        format!(
            "{name}: watch its keys closely from {from} until {until}, and repair the apps at once when one is regenerated"
        )
    });
    wanted.chain(watched).collect()
}

fn wants(intent: &Intent) -> String {
    let cause = intent.rotation.map(|request| request.cause);
    words!(match cause {
        Some(Cause::Compromised) =>
            "rotate now, and regenerate the compromised keys after exposed_grace; not more often than min_rotation_interval";
        Some(Cause::Announced { .. } | Cause::Operator) =>
            "rotate now if consumers hold a key that will be regenerated; not more often than min_rotation_interval";
        None if !intent.approvals.is_empty() =>
            "put the approval on record if the rotation of that key waits for one; RotateKeys begins it then";
        None if intent.everything => "check its keys and all its apps, and repair consumers that hold an invalid key";
        None if intent.claim.is_some() =>
            "check its keys; unless the regeneration was our own, check all its apps and repair consumers that hold an \
            invalid key";
        None => "check its keys and {}; if anything is new there, check all its apps",
            intent.consumers.iter().map(ConsumerId::name).collect::<Vec<_>>().join(", ");
    })
}

/// What the sender of an event did most probably not mean.
pub(crate) fn caution(caution: &Caution) -> String {
    let what = caution.what;
    let what = words!(match what {
        Oddity::NoDeadline => "no deadline is given, so the keys are not watched when they are regenerated";
        Oddity::DeadlinePast(at) =>
            "the deadline {} is past: the keys are watched for the rest of the hour after it. If that is not meant, correct \
            the time and publish it again", readable(at);
        Oddity::DeadlineOver(at) =>
            "the deadline {} is past, so the keys are not watched: if the regeneration is still to come, correct the time \
            and publish it again", readable(at);
        Oddity::DeadlineFar(at) =>
            "the deadline {} is more than a year away, so the keys are not watched around it: correct the time, or publish \
            it again later", readable(at);
        Oddity::BothKeys =>
            "both keys will be regenerated, and every app holds one of them whatever is rotated before: apps are cut off \
            from then until they are repaired. If it is only one key, name it in keyTypes";
        Oddity::NoTime =>
            "the event has no time with Z or an offset, so a copy that comes later asks for another rotation: give it the \
            time of the message";
        Oddity::LongAgo(at) =>
            "the event's time {} is more than an hour ago: keys that were rotated since, because they were reported as \
            compromised, are taken for those that it means, and nothing is done. If keys were leaked later, give the time of \
            that leak and publish it again", readable(at);
        Oddity::ApprovalAhead(at) =>
            "the approval is said to be given at {}, which is still to come: it approves nothing. Give the time at which it was \
            given", readable(at);
        Oddity::ApprovalOld(at) =>
            "the approval was given at {}, more than a week ago: it has expired, unless no window has been open since. Approve \
            the rotation anew", readable(at);
        Oddity::NoApprovalAsked => "its rotations wait for no approval, so this changes nothing";
        Oddity::OtherMembers => "its data has a member besides instance, which is ignored";
    });
    format!("{}: {what}", caution.service.name())
}
