//! The page: how services stand.

use rekey_core::journal::Origin;

sentences! {
    NEVER_RUN = "no run has told of this service yet";
    LOOK_AT_THE_TIMER = "See in the log of the function app whether RotateKeys runs, and how its runs end";
    outdated(at, by, before) = "nothing has been heard of this service since {at}, and by {by} a run of the timer should have told of it; then it was: {before}";
    ahead(at, before) = "what is known of this service was told at {at}, which is still to come: the clock of whoever told it was wrong; by that it was: {before}";
    UNREADABLE = "what was kept of this service cannot be read: it is damaged, or another release wrote it; the next run writes it anew";
    LAST_SEEN = "; when that could last be checked: ";
    not_repaired(stale, ending) = "{stale}; {ending}";
    SEE_DOCTOR = "signalr-rekey doctor";
    approve(name) = "Look at what it would do: signalr-rekey plan {name}; then: signalr-rekey approve {name}";
    unblock(name) = "Mend the cause, then: signalr-rekey unblock {name}";
    acknowledge(name, consumer) = "Have it take the other key; where it has and cannot say so: signalr-rekey acknowledge {name} {consumer}";
    not_kept(why) = "the overview for the status page could not be written, so the page shows what it knew before: {why}";
    not_tagged(name, why) = "{name} could not be tagged with when it was rotated and how it stands: {why}. Nothing waits for that, and the next run tries again";
    TAGS_NOT_KEPT = "which tags services were given could not be kept, so they are given again";
    no_answer_within(patience) = "the storage did not answer within {patience}";
    no_overview(why) = "what is known of the services cannot be read: {why}";
    NO_SUCH_SERVICE = "no configured service has this name or id";
}

sentences! {
    MADE = "Made, or first seen";
    SKIP = "Skip to the services";
    paused(by, why) = "Rotations are paused by {by} ({why}) since ";
    NEXT_BEGINS = "The next rotation begins then at the earliest: ";
    NEXT_NEVER_BEGINS = "No window is open in time for the next rotation: it will be blocked when it is due";
    NEXT_WINDOW = "The next window opens at ";
    page_title(needing, all) = "signalr-rekey: {needing} of {all} services need a look";
    in_full(most) = "The first {most} services are shown in full, those that need somebody first. One alone: ?instance=NAME";
    picture_of(name) = "The last rotations of {name}, which the list below tells in words";
    life(fingerprint, by) = "key {fingerprint}, {by}";
    HELD = "held by consumers";
    outage(key_type, from, end) = "Outage: at {from} it was seen that the {key_type} key had been regenerated from outside; {end}";
    over_at(at) = "over at {at}";
    NOT_OVER = "not over";
    moved(at, who, key_type) = "{at}: {who} given the {key_type} key";
    left_out(consumers) = "And {consumers} more, for which there is no room";
    told_at(at) = "Told by the run that ended at {at}";
    NOT_TO_SCALE = "Broad bars are the lives of keys; on them blue: held by consumers, yellow: grace period; upright lines: consumers \
        given another key. Quiet times are drawn shorter than they were.";
}

/// Who made a key.
pub(crate) const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Ours => "made by signalr-rekey",
        Origin::Outside => "made from outside",
        Origin::FirstSeen => "there at first sight",
    }
}
