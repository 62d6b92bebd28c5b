//! Consumers that only others can change, as `rekey.toml` has them: `reporters`, and `manual`.

use std::time::Duration;

use super::fault::{At, Report};
use super::places::{AT_TOP, IN_INSTANCE, TOP_ONLY, note_once, what_it_is_not};
use super::policy::PolicyLayer;
use super::values::{Fields, Form, Lasting, Node};
use rekey_core::model::{ConsumerId, Name, is_unseen};
use rekey_core::plan::External;

/// How long a machine that reports may take to change its key, where nothing is said of it. An agent looks every few minutes; an
/// hour has room for a restart of the machine.
const REPORTS_WITHIN: Duration = Duration::from_secs(3600);

/// How long a person may take, where nothing is said of it: one working week, whenever it begins.
const CHANGED_WITHIN: Duration = Duration::from_secs(7 * 86_400);

/// A list of one kind.
struct List {
    key: &'static str,
    /// How one is written.
    wanted: &'static str,
    known: &'static [&'static str],
    within: Duration,
    example: &'static str,
    of: fn(Name) -> ConsumerId,
}

const REPORTERS: List = List {
    key: "reporters",
    wanted: "{ name = \"…\", within = \"1h\" }",
    known: &["name", "within"],
    within: REPORTS_WITHIN,
    example: "1h",
    of: ConsumerId::Reporter,
};

const MANUAL: List = List {
    key: "manual",
    wanted: "{ name = \"…\", owner = \"…\", ticket = \"https://…\" }",
    known: &["name", "owner", "ticket", "within"],
    within: CHANGED_WITHIN,
    example: "7d",
    of: ConsumerId::Manual,
};

/// Both lists of an `[[instance]]`. A name is that of one consumer.
pub(super) fn external(instance: &Fields<'_>, report: &mut Report<'_>) -> Vec<External> {
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for list in [REPORTERS, MANUAL] {
        let Some(node) = instance.get(list.key) else { continue };
        let items = node.items(&format!("a list: {} = [ {} ]", list.key, list.wanted), report);
        all.extend(items.into_iter().flatten().filter_map(|item| one(&item, &list, &mut seen, report)));
    }
    all
}

fn one(
    node: &Node<'_>,
    list: &List,
    seen: &mut Vec<(Name, At)>,
    report: &mut Report<'_>,
) -> Option<External> {
    let Some(fields) = node.fields() else {
        if list.known.contains(&"owner") {
            node.refuse(list.wanted, report);
            return None;
        }
        let name = name(node, seen, report)?;
        return Some(External { id: (list.of)(name), within: list.within, owner: None, ticket: None });
    };
    fields.refuse_unknown(list.known, &[(&PolicyLayer::KEYS, IN_INSTANCE), (&TOP_ONLY, AT_TOP)], report);
    let within = Lasting(list.example).of_file(&fields, "within", report);
    let within = within.map_or(list.within, |within| within.value);
    let owner = text(&fields, "owner", report);
    let ticket = text(&fields, "ticket", report);
    if list.known.contains(&"owner") && fields.get("owner").is_none() {
        report.at(&fields.at, "its owner is missing; write owner = \"…\": whom to ask for the change");
    }
    let Some(named) = fields.get("name") else {
        report.at(&fields.at, format!("its name is missing; write {}", list.wanted));
        return None;
    };
    let name = name(&named, seen, report)?;
    Some(External { id: (list.of)(name), within, owner, ticket })
}

fn name(node: &Node<'_>, seen: &mut Vec<(Name, At)>, report: &mut Report<'_>) -> Option<Name> {
    let text = node.text("a name, in quotes", report)?;
    let Ok(name) = text.parse::<Name>() else {
        let what = what_it_is_not(
            text,
            "this is not a name; write letters, digits, '.', '_' and '-', as in \"iis-01\"",
        );
        report.at(&node.at, what);
        return None;
    };
    note_once(&name, &node.at, seen, "this name is already listed; put what is known of it", report);
    Some(name)
}

/// What people read: on one line, and no secret.
fn text(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> Option<String> {
    /// What fits into an announcement beside everything else.
    const LONGEST: usize = 300;
    let node = fields.get(key)?;
    let text = node.text("a text, in quotes", report)?;
    let is_plain = !text.trim().is_empty() && text.len() <= LONGEST && !text.contains(is_unseen);
    let else_what = "this is empty, has line breaks, or is longer than 300 characters; write one line";
    let what = what_it_is_not(text, if is_plain { "" } else { else_what });
    if !what.is_empty() {
        report.at(&node.at, what);
        return None;
    }
    Some(text.to_owned())
}
