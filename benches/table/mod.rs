//! How figures are shown: ours beside the floor, their ratio, the goal, and whether it is reached. A missed goal is said
//! and is no failure: on a busy machine the figures of one run prove little.

use std::fmt;

/// One line of the table.
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// What we need, and the least that can be needed.
    pub(crate) ours: String,
    pub(crate) floor: String,
    pub(crate) ratio: f64,
    pub(crate) goal: String,
    pub(crate) reached: bool,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ours, floor, ratio, goal, reached } = self;
        let verdict = if *reached { "ok" } else { "MISSED" };
        write!(f, "{name:<42} {ours:>11} {floor:>11} {ratio:>6.2}x {goal:>9}  {verdict}")
    }
}

/// The table's head.
pub(crate) fn head() -> String {
    format!("{:<42} {:>11} {:>11} {:>7} {:>9}  verdict", "figure", "ours", "floor", "ratio", "goal")
}

/// Whether this is a measurement (`cargo bench`), or only a proof that everything still runs (`cargo test --benches`,
/// which gives no `--bench`).
pub(crate) fn measuring() -> bool {
    let given = |wanted: &str| std::env::args().skip(1).any(|argument| argument == wanted);
    given("--bench") && !given("--test")
}
