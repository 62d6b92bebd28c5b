//! How fast a forced regeneration is repaired, beside the least that it can take: `listKeys`, then for every app at once one
//! list and one write, three round trips to Azure Resource Manager at 50 ms each, by a bare client in the same run. The same
//! with one Key Vault secret and its readers, up to where the last was observed. Then
//! how many round trips lie before the first write, counted; and what ten thousand notices of one regeneration cost.
//!
//! Start at [`main`].

#![allow(clippy::print_stdout, reason = "the table is the answer")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a world that cannot be set up fails the run"
)]

#[path = "../../tests/common/mod.rs"]
mod common;
mod floor;
mod repairing;
mod round_trips;
mod storm;
#[path = "../table/mod.rs"]
mod table;

fn main() {
    let measuring = table::measuring();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("\nfrom the notice to the last write, ARM at 50 ms a request\n{}", table::head());
    let (sizes, runs): (&[usize], _) = if measuring { (&[1, 10, 100], 7) } else { (&[1], 1) };
    for apps in sizes {
        println!("{}", runtime.block_on(repairing::figure(*apps, runs)));
    }
    println!(
        "\nfrom the notice to the last reader observed, ARM and vault at 50 ms a request\n{}",
        table::head()
    );
    for readers in sizes {
        println!("{}", runtime.block_on(repairing::of_a_secret(*readers, runs)));
    }
    println!("\nround trips one after another, from the notice to the first write\n{}", table::head());
    let (figures, chains) = runtime.block_on(round_trips::counted(runs));
    figures.iter().for_each(|figure| println!("{figure}"));
    println!("{chains}");
    println!("\na storm of notices of one regeneration, against the real program\n{}", table::head());
    let notices = if measuring { 10_000 } else { 100 };
    let storm = runtime.block_on(storm::Storm::of(notices));
    storm.figures().iter().for_each(|figure| println!("{figure}"));
    println!("{}", storm.details());
}
