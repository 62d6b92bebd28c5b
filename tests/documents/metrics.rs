//! docs/metrics.md against what is exported, and by what settings.

use std::collections::BTreeSet;

use signalr_rekey::config::metrics::VARIABLES;
use signalr_rekey::metrics::INSTRUMENTS;

use super::markdown::{Document, codes};

#[test]
fn the_table_of_metrics_has_every_metric_as_it_is_and_no_other() {
    let rows = Document::read("docs/metrics.md").rows("The metrics");
    let told = rows.iter().map(|row| {
        let code = |at: usize| codes(&row[at]);
        (code(0).concat(), row[1].clone(), code(2).concat(), code(3))
    });
    let exported = INSTRUMENTS.iter().map(|one| {
        let kind = if one.is_sum { "sum" } else { "gauge" };
        let attributes = one.attributes.iter().map(|name| (*name).to_owned()).collect();
        (one.name.to_owned(), kind.to_owned(), one.unit.to_owned(), attributes)
    });
    assert_eq!(told.collect::<Vec<_>>(), exported.collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row[4].len() > 20), "each says what it means");
}

#[test]
fn the_table_of_variables_has_every_variable_and_no_other() {
    let rows = Document::read("docs/metrics.md").rows("Variables");
    let told: Vec<String> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(told.iter().map(String::as_str).collect::<BTreeSet<_>>(), VARIABLES.into());
    assert_eq!(told.len(), VARIABLES.len());
}
