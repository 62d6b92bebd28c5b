//! Single values, read alike from the file and from app settings. Each refusal is a sentence that says what to write
//! instead, and repeats nothing of the value: whatever stands in the wrong place may be a secret, a short one too.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::Cloud;
use rekey_core::policy::{FirstRotation, Verify};

/// What `verify` may be.
pub(super) const VERIFY: [(&str, Verify); 2] =
    [("data-plane", Verify::DataPlane), ("control-plane", Verify::ControlPlane)];

/// What `first_rotation` may be.
pub(super) const FIRST_ROTATION: [(&str, FirstRotation); 2] =
    [("now", FirstRotation::Now), ("when-due", FirstRotation::WhenDue)];

/// What `AZURE_CLOUD` may be: the names of `az cloud list`.
pub(super) const CLOUD: [(&str, Cloud); 3] = [
    ("AzureCloud", Cloud::Public),
    ("AzureUSGovernment", Cloud::UsGovernment),
    ("AzureChinaCloud", Cloud::China),
];

/// Ten years. Times that far away no longer fit a date.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A sensible age of keys. An age of many years is one too: it is how rotations by age are paused.
pub(super) const AGE: &str = "30d";

/// A duration such as `30d`; `example` is what a sensible one looks like.
pub(crate) fn duration(text: &str, example: &str) -> Result<Duration, String> {
    let text = text.trim();
    if is_number(text) {
        return Err(format!("a number alone has no unit; write {}", with_unit(text, example)));
    }
    let parsed = humantime::parse_duration(text);
    let parsed = parsed.map_err(|_| format!("this is no duration; write {example}"))?;
    if parsed.is_zero() {
        return Err(format!("zero is too short; write {example}"));
    }
    if parsed > LONGEST {
        let pause = if example == AGE { ", or 3650d to pause rotations by age" } else { "" };
        return Err(format!("more than ten years is too long; write {example}{pause}"));
    }
    Ok(parsed)
}

/// A number with the unit that was most likely meant: that of the example.
pub(super) fn with_unit(number: &str, example: &str) -> String {
    let unit = example.trim_start_matches(|character: char| character.is_ascii_digit());
    // Whoever means a duration writes few digits; more of them may be anything, and are not repeated.
    const MOST_DIGITS: usize = 4;
    let meant = is_number(number) && number.len() <= MOST_DIGITS && number.contains(|digit| digit != '0');
    if meant { format!("{number}{unit}") } else { example.into() }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_digit())
}

/// A duration as people write it: in days rather than in months and a rest.
pub(super) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let exact = units.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    match exact {
        Some((unit, name)) if duration.subsec_nanos() == 0 => format!("{}{name}", seconds / unit),
        _ => crate::report::text::rounded(duration).to_string(),
    }
}

/// One of a few words, in any case.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let text = text.trim();
    let fits = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(text);
    choices.iter().find(fits).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let meant = nearest(text, &words).map_or(String::new(), |word| format!(" (did you mean {word}?)"));
        format!("this is not known here{meant}; write {}", words.join(" or "))
    })
}

/// The base URL of Azure Resource Manager. Tokens are sent to it, so plain http goes to loopback alone.
pub(super) fn resource_manager(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "write a base URL such as https://management.azure.com";
    let url = Url::parse(text.trim()).map_err(|_| format!("this is no URL; {EXAMPLE}"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err("tokens go over https only; write https:// (http is for 127.0.0.1 alone)".into());
        }
        _ => return Err(format!("this is no https URL; {EXAMPLE}")),
    }
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !plain || url.fragment().is_some() || url.path() != "/" {
        return Err(format!("a base URL has no user, path, query or fragment; {EXAMPLE}"));
    }
    Ok(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// The known name that was most likely meant.
pub(super) fn nearest<'name>(name: &str, known: &[&'name str]) -> Option<&'name str> {
    // Below this, Jaro-Winkler's suggestions have little in common with what was written.
    const ALIKE: f64 = 0.8;
    let lower = name.to_lowercase();
    let score = |known: &str| strsim::jaro_winkler(&lower, &known.to_lowercase());
    let scored = known.iter().map(|known| (score(known), *known));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}
