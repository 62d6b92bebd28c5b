//! The program: what its commands say of a service, of themselves, and of what to type next; its file and its schedule.

#[cfg(feature = "command-line")]
sentences! {
    // `rotate`, below its lines at a terminal.
    rotate_holders(name, key_type, who) = "{name}: on the {key_type} key: {who}";
    ROTATE_NOBODY = "nobody";
    ROTATE_NOBODY_SEEN = "nobody who could be seen";
    rotate_invalid(name, who) = "{name}: on an invalid key: {who}";
    rotate_wave(name, number, who) = "{name}: wave {number} is on its way: {who}";
    rotate_not_well_yet(until, why) = "waiting until {until} at most for who is not well yet: {why}";

    // `man`.
    man_written(count, folder) = "{count} man pages are in {folder}";
    man_not_written(folder) = "could not write the man pages into {folder}";
}

sentences! {
    // What several commands say.
    NAME_THE_STORAGE = "`az login`, and set AzureWebJobsStorage__accountName=ACCOUNT (or \
        AzureWebJobsStorage__blobServiceUri=https://ACCOUNT.blob.core.windows.net) to the storage account of the function \
        app, on which you need";
    TO_READ = "Storage Blob Data Reader";
    TO_WRITE = "Storage Blob Data Contributor";
    NOTHING_DONE = "nothing was done";
    NOT_A_TERMINAL = "not a terminal: pass --yes to confirm. Nothing was done";
    OWN_MEMORY = "the journal is in the memory of this process alone (REKEY_STATE=memory): what other processes did, \
        rotations included, is not known here. A shared journal needs a storage, such as Azurite";
    NOT_IN_OWN_MEMORY = "the journal is in the memory of this process alone (REKEY_STATE=memory), so what is recorded would end \
        with this command; nothing was done. A shared journal needs a storage, such as Azurite";
    without_the_journal() = "warning: this is without the journal of the deployed app, as if every key were seen for the \
        first time. To share it: {NAME_THE_STORAGE} {TO_READ}";
    not_configured(name, file, known) = "\"{name}\" is not configured; {file} has: {known}";
    still_checking(name, left, patience) = "still checking {name}; left to check, with it: {left}. Azure Resource Manager \
        answers slowly or lets no more requests through, or the health of an app does not answer; each service is waited for \
        {patience} at most";
    BROKE_OFF = "could not write the whole answer";
    NO_JSON = "could not write the answer as JSON";
    STOPPING = "stopping after the current step, to give the lease back; press again to stop at once";
    DOCTOR_ALL = "; --all shows what passed";
    same_cause(what, other) = "{what}: for the same reason as {other} above";

    // `status --watch`.
    status_as_of(at, every) = "as of {at}; checks again every {every}, ctrl-c ends it";
    watch_too_often(least) = "each check asks Azure for everything: check every {least} or less often";

    // `status --web`.
    WEB_READY = "the status page is at this address, for a browser on this machine; keep the address to yourself. Reload it to \
        refresh it, ctrl-c ends it";
    WEB_NO_PORT = "the status page cannot be shown on this machine";
    web_no_journal() = "the status page shows what runs of the deployed app have told, which is kept beside its journal, and that is out \
        of reach. To share it: {NAME_THE_STORAGE} {TO_READ}";

    // `report`.
    REPORT_TITLE = "Changes of SignalR access keys";
    report_of(since, at, services) = "what was over from {since} until {at}; services: {services}";
    report_no_journal() = "the evidence is beside the journal of the deployed app, which is out of reach. To share it: {NAME_THE_STORAGE} {TO_READ}";
    NO_EVIDENCE = "there is no container signalr-rekey-evidence: no change was ever put in evidence here, or the container was deleted. \
        That is not the same as that nothing was changed: `signalr-rekey history` shows what the journals know";
    evidence_not_listed(why) = "cannot list the evidence: {why}";
    changed_from_outside(key, old, new) = "{key} {old} -> {new} (from outside)";
    EVIDENCE_GONE = "it was there a moment ago, and is gone";
    evidence_waits(name, waiting, changes, entries) = "{name}: changes that wait for their document, which the next run writes: \
        {waiting}; left out for lack of room: {changes} changes, {entries} steps and moves";
    evidence_of_others(count) = "documents of services that are not in this configuration, or were not named: {count}; they were not read";
    old_key_kept_nowhere(old) = "{old} was not tried: it was regenerated from outside, and only who had that key could sign with it";
    NOTHING_CHANGED = "nothing was changed in this time";
    REPORT_NEVER_CHECKED = "no run has recorded anything about it: nobody has checked it yet, or its journal is gone, and then nobody \
        knows what was changed";
    NOTHING_OVER = "nothing was over in this time";
    change_under_way(since) = "under way since {since}; its document is written when it is over";
    DOCUMENT_WAITS = "over, and waits for its document, which the next run writes";
    evidence_late(name, since) = "{name}: a change that was over at {since} still has no document: the runs since then did not end, or could \
        not write it; the log and `signalr-rekey status` tell why";
    no_date_either(why) = "{why}, or a date, as in 2026-01-01";
    REPORT_NO_TIME = "nothing lies between --since and --until: --until (now, if it is not given) must be the later one";
    REPORT_HEADS = "Service|Began|Over at|What was done|By whose word|Keys, old -> new|What became of the old key|Given another key|\
        Document|SHA-256 of the document";
    REPORT_LEGEND = "Times are UTC. A key is told by its fingerprint: the first 16 hexadecimal digits of the SHA-256 of its text. \
        By schedule: by the age of the keys, also where somebody ran `rotate`. By command: by `rotate --now`; of whom, is not recorded. \
        By an event: an event or alert called for it.";
    NOTHING_FOUND = "no change was found in this time, which proves nothing while there are faults";
    evidence_whole(documents) = "OK: documents, all as they were written: {documents}";
    report_fault(fault) = "fault: {fault}";
    evidence_flawed(flaws, documents) = "NOT OK: faults: {flaws}; documents that are there: {documents}";

    // `unblock`.
    UNBLOCK_OTHER_RUN = "another run is at work, and nothing was cleared: repeat this command in two minutes";
    UNBLOCK_QUESTION = "Clear these, so that the next run retries at once?";
    unblock_no_journal() = "this is without the journal of the deployed app, which is what `unblock` clears; nothing was \
        done. To share it: {NAME_THE_STORAGE} {TO_WRITE}";
    unblock_lease(holder, until) = "a lease of {holder} until {until}, longer than any run takes one";
    unblock_to_be_cleared(obstacle) = "  recorded: {obstacle}";
    unblock_to_be_resolved(warning) = "  to be resolved, which this command cannot do: {warning}";
    unblock_passes(warning) = "  this passes by itself, and the next run checks again: {warning}";
    unblock_evidence(name) = "the document of evidence {name} is not the one that is to be written, as where an older journal was put \
        back: a new chain is begun, and what this journal knows nothing of is told by `signalr-rekey report --verify`";
    unblock_still_ill(app, url, why) = "warning: {app} is not well now either: {url}: {why}. If this is cleared, the rotation \
        goes on, and the key that it had before is regenerated at the end";
    unblock_nothing_to_clear(name, next) = "nothing to clear: no failure of {name} is on record; {next}";
    UNBLOCK_AS_ABOVE = "the next run does what is said above";
    UNBLOCK_RESOLVE = "resolve what is said above";
    unblock_cleared(failures, next) = "cleared {failures}; {next}";
    UNBLOCK_ONE = "1 recorded failure";
    unblock_many(count) = "{count} recorded failures";
    UNBLOCK_RETRIES = "the next run retries";
    UNBLOCK_STILL_BLOCKED = "the next run is still blocked until what is said above is resolved";

    // `acknowledge`.
    acknowledge_no_journal() = "this is without the journal of the deployed app, which is where it would be recorded; nothing was \
        done. To share it: {NAME_THE_STORAGE} {TO_WRITE}";
    ACKNOWLEDGE_NO_KEY_TYPE = "write Primary or Secondary";
    ACKNOWLEDGE_NO_NAME = "it is recorded who says so, and this machine does not tell: pass --by YOUR-NAME, on one line of at most \
        100 characters. Nothing was done";
    holds_a_secret(option) = "{option} looks like a key or a connection string, which is a secret, and what it says is kept and shown: \
        say it in other words. Nothing was done";
    waits_in_turn(service, holder, until) = "{service}: another run ({holder}) is at work, and is called. This command waits \
        for its turn, until {until} at the latest";
    ACKNOWLEDGE_OTHER_RUN = "another run is at work, and nothing was recorded: repeat this command in two minutes";
    ACKNOWLEDGE_QUESTION = "Is that so? A key that you say was left is regenerated after its grace period, and whoever still holds \
        it is cut off then";
    ACKNOWLEDGE_NOBODY = "nobody";
    acknowledge_too_early(name) = "{name}: no run has checked it yet, so no key is on record that could be acknowledged; nothing \
        was done. Wait for the first run of RotateKeys, or do one by `signalr-rekey rotate`, which regenerates nothing before this is \
        said; then repeat this command";
    acknowledge_new_key(key_type) = "the {key_type} key that Azure lists is not on record yet: somebody has regenerated it since the \
        last run. Nothing was done; repeat this command after the next run";
    acknowledge_overtaken(name) = "{name}: nothing was recorded, because another run has found something else since this was \
        checked: repeat this command, which shows it";
    acknowledge_stands(name, decision) = "as it stands, {name}: {decision}";
    acknowledge_to_record(says) = "to be recorded: {says}";
    acknowledge_not_known(name, service, file, known) = "{name:?} is nobody whose word counts for {service}: it is neither among its \
        reporters and manual consumers in {file}, nor a secret or key-value that readers may read unseen; there is: {known}. Nothing was done";
    acknowledge_which_key(who) = "which key does {who} hold? Consumers hold both keys, or none: pass --key Primary or --key \
        Secondary. Nothing was done";
    acknowledge_known(who, key_type) = "nothing to acknowledge: it is on record that {who} holds the {key_type} key; pass --key if \
        it holds the other";
    acknowledge_no_wait(consumer) = "nothing to acknowledge: no key is waiting for readers of {consumer}, or both are: pass --key then";
    acknowledge_left_known(consumer, key_type, by, at) = "nothing to acknowledge: it is on record since {at} that whoever reads \
        {consumer} has left the {key_type} key, as {by} said";
    acknowledge_holds(by, who, key_type, key) = "{by} says: {who} holds the {key_type} key ({key}) now, and no other";
    acknowledge_left(by, consumer, key_type, key) = "{by} says: whoever reads {consumer} has left the {key_type} key ({key})";
    acknowledged(name) = "{name}: recorded; the next run uses it";

    // In the place of the name of an instance.

    // `pause` and `resume`.
    PAUSE_NO_TIME = "--until is no time: write one with an offset (2026-12-01T08:00Z), a time and a zone (\"2026-12-01T08:00 \
        Europe/Berlin\"; not one that its clock leaves out), or a duration from now (12h). Nothing was done";
    pause_no_zone(zone, meant) = "the time zone of --until is not known: {zone}{meant}. Nothing was done";
    pause_over(until) = "--until is {until}, which is past. Nothing was done";
    pause_too_long(until) = "--until is {until}, which is more than a year away: pause again when it ends, so that no pause is \
        forgotten. Nothing was done";
    PAUSE_NO_REASON = "--why is empty, or longer than one line of 200 characters. Nothing was done";
    paused(name, until, replaces) = "{name}: rotations are paused until {until}{replaces}; repairs go on";
    pause_replaces(until, by) = " (in place of a pause until {until} by {by})";
    pause_is_on(until, since, by, why) = "rotations are paused until {until}, since {since}, by {by}: {why}";
    resumed(name, until, by) = "{name}: the pause until {until} by {by} is ended; the next run rotates what is due";
    resume_nothing(name) = "{name}: nothing to resume: it is not paused";

    // `approve`.
    approve_already(name, by, at, until) = "{name}: nothing to approve: {by} approved this rotation at {at}, and it may begin \
        until {until}";
    approve_nothing(name) = "{name}: nothing to approve: no rotation waits for an approval";
    approve_never_seen(name) = "{name}: nothing was recorded: no run has checked this service yet; approve the rotation after \
        the first one";
    approve_says(by, key_type, key) = "  {by} approves the rotation that replaces the {key_type} key ({key})";
    APPROVE_QUESTION = "Is it approved?";
    approved(name) = "{name}: recorded; the next run begins with it, or once a pause is over and a window is open, where there is one";

    // `rotate`, and the forecast that `plan` shows too.
    rotate_no_journal() = "rotate needs the journal of the deployed app, and no storage is named: without it this run \
        ignores a run that may be at work in Azure, and the next one there takes the new key for an outside regeneration. \
        Nothing was done. {NAME_THE_STORAGE} {TO_WRITE}. Where no app is deployed, or its storage is down: --without-journal";
    rotate_nothing_to_do(name, end) = "{name}: nothing to do: {end}";
    rotate_to_do(name) = "{name}: this will be done:";
    rotate_no_standing(name, why) = "{name}: cannot read how things stand: {why}";
    ROTATE_WITHOUT_JOURNAL = "this was without the journal: every consumer holds a valid key, but when the next rotation is \
        due, and what else is under way, is not known here";
    ROTATE_OTHER_RUN_AND_REQUEST = "the other run goes on, and your rotation request is recorded: run `rotate` in two \
        minutes, without --now";
    ROTATE_OTHER_RUN = "the other run goes on, and nothing was requested of it: repeat this command in two minutes";
    ROTATE_REQUEST_RECORDED = "your rotation request is recorded: once this is resolved, run `rotate` without --now";
    first_sight(what, grace) = "  why: nothing is on record about it here, so how old its keys are, and who held them until \
        now, is not known: {what}. No key is regenerated before a whole grace period ({grace}) has passed";
    FIRST_NOW = "first_rotation = \"now\" asks for a rotation of both keys";
    first_when_due(age) = "first_rotation = \"when-due\" counts both keys as made now, and rotates them in {age}";
    once_approved(at) = "once approved, {at}";
    BLOCKED_AS_ABOVE = "blocked, as is said above";
    ROTATE_FORECAST = "  what would be done, if nobody changes anything meanwhile:";
    FORECAST_ENDLESS = "no end is foreseen: the rotation takes so long that the next one is due before it is over. Write a longer \
        rotate_every, or a shorter pause_between_waves or grace";
    next_begins(at) = "the next rotation may begin at {at}, when a window is open and no pause or freeze is on";
    no_window_in_time(due, every, next) = "the next rotation is due at {due}, and no window is open in the {every} after that \
        (rotate_every): {next}";
    next_never_begins(what) = "{what}. It will be blocked until then; apps are repaired all the same. Write a window, or end a freeze";
    STATUS_RESOLVE = "no key is regenerated until what is said above is resolved; an app that is cut off is repaired by the \
        first run that can read and write it";
    STATUS_RESOLVE_BY_OTHERS = "no key is regenerated until what is said above is resolved; whoever is cut off can be repaired \
        only by others, not by a run";
    STATUS_CHECKS_AGAIN = "the next run checks again, and repairs whoever it finds cut off";
    rotate_no_further_than(length) = "it would get no further than in {length}";
    rotate_foreseen_for(length) = "this much is foreseen, for {length}";
    rotate_takes_about(length) = "it would take about {length}";
    rotate_restarts_none(takes) = "{takes}, and restart no app";
    rotate_restarts(takes, apps) = "{takes}, and restart {apps}";

    // How things stand when a run was stopped.
    STANDING_NOTHING = "nothing was done, and nothing is on record";
    standing_in_flight(key_type, since) = "the {key_type} key, which no consumer holds, is being regenerated since {since}: \
        Azure finishes that by itself";
    standing_ours(at) = "was regenerated at {at}";
    standing_outside(at) = "was regenerated from outside, as was seen at {at}";
    standing_first_seen(at) = "is the one that was first seen at {at}";
    standing_accepted(made) = "{made}, and the service accepts it";
    standing_may_hold(who) = "perhaps {who}";
    standing_held_by(holders) = "it is held by {holders}";
    STANDING_HELD = "consumers hold it, or are being given it";
    STANDING_NOT_HELD = "no consumer holds it";
    standing_left(at) = "no consumer holds it since {at}";
    standing_unseen(at) = "no consumer was seen with it since {at}";
    standing_next(next) = "what is next: {next}";
    STANDING_NOBODY_CARRIES_ON = "nothing carries on, because the journal was in this process alone: run `rotate` again, \
        which sees everything as if for the first time";
    STANDING_A_HANDLER_CARRIES_ON = "a handler against the simulator carries on when its timer is fired, if you run one; to \
        go on yourself, run `rotate` again, without --now";
    STANDING_THE_TIMER_CARRIES_ON = "RotateKeys of the deployed app carries on at its next schedule; to go on yourself, run \
        `rotate` again, without --now";

    // What consumers hold, in lists.
    HOLDS_STALE = "the service no longer has this key";
    HOLDS_STALE_TEXT = "holds an invalid key, where it cannot be replaced";
    HOLDS_REFERENCE = "holds a reference, which is not followed";
    HOLDS_PLACEHOLDER = "holds a placeholder";
    HOLDS_INVALID = "holds an invalid connection string";
    HOLDS_UNSEEN = "may hold either key: what is said of it above is not resolved";
    holds_unreported(who) = "{who} may hold either key: it has not reported which";
    holds_unsaid(who) = "{who} may hold either key: nobody has said which";
    holds_reported_stale(who, key) = "{who} holds an invalid key ({key}), as it was reported";

    // `history`.
    history_no_journal() = "this is without the journal of the deployed app, so there is no history to read. To share it: \
        {NAME_THE_STORAGE} {TO_READ}";
    HISTORY_UNKNOWN = "nothing is known: this process has done nothing with it";
    HISTORY_EMPTY = "nothing yet: no run has recorded anything about it";

    // `notice`.
    notice_refused(fault) = "it would be refused: {fault}";
    NOTICE_NOTHING = "  nothing would be done";
    notice_nothing_told(function, status) = "{function} answered {status} and reports nothing that it did: the event calls \
        for nothing, or was handled before";
    notice_no_answer(handler) = "no answer from the handler at {handler}; start it, or give its port";
    notice_not_read(file) = "cannot read {file}";
    notice_too_long(file) = "{file} is longer than 1 MiB, the most that Event Grid delivers";
    notice_no_json(file, line, column) = "{file} is not JSON (line {line}, column {column})";

    // `handler`.
    HANDLER_ENDS = "this process ends now";
    HANDLER_ASKED_TO_STOP = "it was asked to stop";
    HANDLER_NO_PARENT = "the Functions host that started it is gone";
    handler_cannot_serve(port) = "cannot serve on 127.0.0.1:{port}";
    handler_ending(why) = "this process is ending because {why}: it takes on nothing more, finishes the current step and \
        gives its leases back";
    handler_ends_all_the_same(longest) = "a step did not finish within {longest}, and this process ends all the same: its \
        lease ends by itself within two minutes, and the next run carries on from what is on record";
    handler_no_port(variable) = "{variable} is not set: the Functions host sets it, so this command is for the host to \
        start (`func start`). To rotate from here, use `signalr-rekey rotate`";
    handler_strange_port(variable) = "{variable} is not a port number";

    // `init`.
    THE_FILE = "the file of REKEY_CONFIG";
    INIT_NOTHING_FOUND = "no app that could be read holds a connection string of a service, so nothing was written";
    INIT_SLOTS_MISSING = "the slots of some apps could not be listed, so the file does not name them: see above, and add \
        those that hold a key, or run init as somebody who may read them";
    INIT_STORES_MISSING = "not everything in the vaults and stores that were named could be read: see above, and add what holds \
        a key, or run init as somebody who may read it";
    init_written(path) = "{path} is written: review it, then run `doctor`";
    init_written_and_another_read(path, read) = "{path} is written: review it. Other commands read another file here, \
        {read}: REKEY_CONFIG, --config or the folder of the app says so. To use the new one: --config {path}";
    init_there_already(path) = "{path} already exists and was left as it is; --force overwrites it";
    init_not_written(path) = "cannot write {path}";

    // The file that configures it.
    no_file(name, folder) = "cannot find {name} in {folder}; put it next to host.json, or name yours with --config FILE or REKEY_CONFIG; \
        `signalr-rekey init` writes one";
    not_found(name) = "cannot find {name}; give the path of a TOML file";
    not_read(name) = "cannot read {name}; give the path of a TOML file";
    no_text(name) = "cannot read {name}: it is not UTF-8; give the path of a TOML file";

    // The schedule: why the Functions host runs no timer, and what to do about it.
    no_timer(setting, why, next) = "{setting}: {why}, so the Functions host does not run RotateKeys: no key is rotated, and \
        a regeneration that no event tells of is not found; {next}";
    ON = "it is on";
    REMOVE = "remove it";
    NOT_SET = "it is not set";
    NEVER = "it never leads to a run";
    set_it_like(good) = "set it, like {good}";
    write_it_like(good) = "write it like {good}";
    time_span(expression) = "{expression:?} is a time span, which only App Service plans accept: elsewhere the timer never \
        runs";
    no_expression(expression) = "{expression:?} is not an NCRONTAB expression";

    // How faults call the parts of what the host sends.
    VALUE = "the value in Data";
    BODY = "the body of the request";
    QUERY = "the query of the request";
    METHOD = "the method of the request";

    A_PANIC = "internal error: a panic (its message is not shown, as it may hold a key)";
}
