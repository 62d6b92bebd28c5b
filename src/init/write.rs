//! The file.

use std::fmt::Write;

use super::find::{App, Found, Service};

/// The text of `rekey.toml`; none where no instance has an app, for such a file would name nothing to do.
#[must_use]
pub fn write(found: &Found) -> Option<String> {
    let (with_apps, without): (Vec<_>, Vec<_>) =
        found.services.iter().partition(|service| !service.apps.is_empty());
    if with_apps.is_empty() {
        return None;
    }
    let mut text = head(found);
    for service in with_apps {
        entry(&mut text, service);
    }
    for service in without {
        comment(
            &mut text,
            "",
            &format!("\nno app was found that holds a connection string of {}", service.id),
        );
        about(&mut text, "", service);
    }
    Some(text)
}

fn head(found: &Found) -> String {
    let mut text = String::new();
    let number = found.looked_at;
    comment(&mut text, "", "Written by signalr-rekey init; review it before anything is rotated by it.");
    comment(
        &mut text,
        "",
        &format!(
            "It has looked in {}, has seen {number} apps and slots there, and nothing else.",
            found.place()
        ),
    );
    let rest = "An app elsewhere that holds a connection string must be added: one that is not named keeps a key that will \
                die.";
    comment(&mut text, "", rest);
    for (id, why) in found.not_seen() {
        comment(&mut text, "", &format!("{id} may hold one: could not be read because {why}"));
    }
    text
}

fn entry(text: &mut String, service: &Service) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n[[instance]]\nid = \"{}\"", service.id);
    about(text, "", service);
    text.push_str("apps = [\n");
    for app in &service.apps {
        seen(text, app);
        let _ = writeln!(text, "  \"{}\",", app.id);
    }
    text.push_str("]\n");
}

/// The remarks on an instance, and the apps that may hold a connection string of it.
fn about(text: &mut String, indent: &str, service: &Service) {
    service.remarks.iter().for_each(|remark| comment(text, indent, remark));
    for App { id, seen } in &service.doubtful {
        comment(text, indent, &format!("{id} may hold one: {}", seen.join("; ")));
    }
}

fn seen(text: &mut String, app: &App) {
    app.seen.iter().for_each(|line| comment(text, "  ", line));
}

/// One line, whatever is in it: TOML allows no control characters in a comment, and names come from Azure.
fn comment(text: &mut String, indent: &str, line: &str) {
    if line.starts_with('\n') {
        text.push('\n');
    }
    let plain: String = line.trim().chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    let _ = writeln!(text, "{indent}# {plain}");
}
