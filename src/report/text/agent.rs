//! The agent on a machine: what it did, what it could not do, and what to do about that.

sentences! {
    // What was done.
    placed(fingerprint, file) = "{file}: the key {fingerprint} of the secret was put in";
    works(fingerprint) = "the app works with the key {fingerprint}";
    put_back(fingerprint) = "the files have the old key {fingerprint} again, and the app works with it";
    reported(fingerprint, name) = "reported as {name}: the app has the key {fingerprint}";
    IN_ORDER = "in order: the app works with the key of the secret";

    // Beginning.
    another_agent(file) = "another agent is at work with {file}: one is enough for an app; give a second one of another app a \
        state of its own";
    no_memory(file) = "cannot use the agent's state {file}: let the agent write in its folder, or name another file by state";
    strange_memory(file) = "{file} is not the state of an agent of this release: nothing was done. If it is damaged, move it \
        away: the agent then finds the key by the service's host, and reloads the app once";
    not_remembered(file) = "cannot write the agent's state {file}, so nothing more is done: make room on the disk, or let the \
        agent write there";

    // The secret.
    VAULT_FIREWALL = "the vault's network rules do not let this machine in: add its address or its subnet to them, or reach \
        the vault by a private endpoint. A role does not help";
    VAULT_PRIVATE = "the vault takes no calls from public networks: connect this machine to a network with a private endpoint of \
        the vault, and let it resolve the vault's name there. A role does not help";
    VAULT_POLICY = "the vault uses access policies: let the machine's identity get its secrets by one (`az keyvault set-policy \
        --name … --object-id … --secret-permissions get`). A role does not help";
    no_string(secret) = "the secret {secret} holds no connection string with a key, or more than one: write the service's \
        connection string into it";
    wanted_refused(secret, detail) = "the service does not accept the key of the secret {secret} ({detail}): no file was \
        changed. signalr-rekey repairs the secret with its next run; if that does not help, look at its status";
    wanted_unknown(detail) = "cannot ask the service whether it accepts the key of the secret ({detail}): no file was \
        changed. Let this machine reach it over https, or set verify = \"none\" in the agent's file";

    // Files.
    unreadable(file) = "cannot read {file}: check its name, and that the agent may read it";
    NO_REGULAR_FILE = "it is no regular file";
    no_text(file) = "{file} is not UTF-8, and is left as it is: save it as UTF-8, or put the connection string into another \
        file";
    too_large(file, mebibytes) = "{file} is larger than {mebibytes} MiB, and is left as it is: put the connection string into \
        a file of its own";
    no_key(file, host) = "{file} holds no key of the service {host}: put its connection string there once, or take the file \
        out of files";
    in_the_way(file, what) = "{file}: {what}";
    PLACEHOLDER = "where the key belongs stands a placeholder, which is never overwritten: name the file that it is filled \
        into";
    OTHER_SERVICES_HOST = "a key of this service stands in a connection string of another one, and is left as it is: correct \
        the string";
    IRREPLACEABLE = "what may be a key of the service stands there in a form in which it cannot be replaced: write it as a \
        connection string";
    strange_copy(file, copy) = "{copy} lies beside {file}, and no exchange of this agent is on record: compare the two, move \
        it away, and start the agent again. The file is left as it is";
    changed_meanwhile(file) = "{file} was changed by somebody else at the same time, and is left as it is: the next round \
        tries again";
    changed_in_reload(file) = "{file} was changed while the app was made to read it, and has another key again: nobody can tell \
        with which the app works, so the new one is not reported. The next rounds try again; if a template or a deployment \
        writes the old string each time, correct that";
    unread_after_reload(file) = "{file} could not be read again after the app was made to read it, so nobody can tell with which \
        key the app works: the new one is not reported";
    not_placed(file) = "cannot replace {file}, which still has the old key: the agent writes a file beside it, with the same \
        owner, and renames it. Let it write in that folder; a single file that is mounted into a container cannot be \
        replaced: mount its folder";
    copy_stays(file) = "cannot remove what an exchange has left beside {file}, an old key among it: remove it by hand";
    copy_unreadable(copy) = "cannot read {copy}, the text from before: the new key stays in the file. Look at the app";

    // The app.
    reload_not_started(program) = "cannot start the reload command {program}: write its whole path, and check that the agent \
        may run it";
    reload_failed(program, how) = "the reload command {program} failed ({how})";
    reload_lost(program) = "cannot tell how the reload command {program} ended";
    reload_late(program, within) = "the reload command {program} did not end within {within}, and was stopped";
    with_output(why, output) = "{why}; it said: {output}";
    BY_SIGNAL = "by a signal";
    with_code(code) = "exit code {code}";
    HIDDEN_LINE = "[a line with a key]";
    HIDDEN_OUTPUT = "[an output with a key]";
    not_well(url, within, why) = "the app does not work: {url} gave no success within {within}: {why}";

    cut_off(fingerprint, detail) = "the app is cut off: the service does not accept the key {fingerprint} any more, which the app \
        and the secret have ({detail}). Somebody has regenerated it. signalr-rekey repairs the secret with its next run, and this \
        agent the app after that; if it does not, look at `signalr-rekey status`";
    acceptance_unknown(fingerprint, detail) = "cannot ask the service whether it still accepts the key {fingerprint} of the app \
        ({detail}): let this machine reach it over https, or set verify = \"none\" in the agent's file";

    // Going back.
    NOTHING_TO_PUT_BACK = "no file was changed for it, so there is nothing to put back: look at the app. The next round tries \
        again";
    NOT_PUT_BACK_UNVERIFIED = "the new key stays in the files: where verify is none, the agent cannot tell whether the service \
        still accepts the old one. Look at the app; it is reloaded again";
    not_put_back_refused(detail) = "the new key stays in the files, because the service does not accept the old one any more \
        ({detail}). Look at the app; it is reloaded again";
    not_put_back_unknown(detail) = "the new key stays in the files, because nobody can tell whether the service still accepts \
        the old one ({detail}). Look at the app; it is reloaded again";
    put_back_failed(file) = "cannot put the old text of {file} back: its copy lies beside it. Look at the app; the next \
        round goes on with the new key";
    put_back_and_not_well(fingerprint, why) = "the files have the old key {fingerprint} again, and the app does not work with \
        it either, so it is not the key: {why}. Look at the app";

    // Reports.
    NO_CODE = "cannot read the code of the function that takes reports: check code_file";
    not_reported(fingerprint, name, why) = "could not report as {name} that the app has the key {fingerprint}, and the \
        next round tries again: {why}";
    reported_invalid(fingerprint, name) = "reported as {name}: the app has the key {fingerprint}. By what signalr-rekey last saw, \
        that is neither of the service's keys: the app is very likely cut off. If the secret has the key as well, the next run \
        repairs it; if it does not, look at `signalr-rekey status`";
    NO_REPORT_ANSWER = "no answer from the report's URL";
    report_unauthorized(status) = "it was answered {status}: give the agent the current code of the function";
    report_not_found(status, said) = "it was answered {status} ({said}): check the URL, and that rekey.toml has the instance \
        and the reporter of this name";
    report_not_recorded(status, said) = "it was answered {status}, and not that it is on record, so it was not the function OnReport \
        that answered ({said}): check the URL, and what stands before it";
    report_busy(status, said) = "it was answered {status} ({said}), also when it was sent again: a run may be at work on the \
        service, or the function app is out of order";
    report_refused(status, said) = "it was answered {status} ({said}): check instance and name against rekey.toml";
    NOTHING_SAID = "without a reason";

    // Waiting.
    rests(fingerprint, until, why) = "the key {fingerprint} of the secret did not work here, and the app is not restarted for it \
        again before {until}, unless [reload] or [health] is changed, or `signalr-rekey agent` is started anew without --once. \
        What failed: {why}";
    NOT_ON_RECORD = "it is not on record, but was told then";
    STOPPED = "stopped: what was begun goes on with the next start";
}
