//! Many services that are alike, by number.

use embedded_azure::{SignalR, Site, World};

pub fn service(n: usize) -> String {
    format!("sr-{n:03}")
}

pub fn app(service: usize, n: usize) -> String {
    format!("app-{service:03}-{n}")
}

/// Services that are alike, with so many apps each.
pub fn world(services: usize, apps: usize) -> World {
    let group = || "rg".to_owned();
    let of = |n| (0..apps).map(move |m| app(n, m));
    let site = |name| Site { group: group(), name, kind: "app".into(), ..Site::default() };
    let signalr =
        |n| SignalR { group: group(), name: service(n), apps: of(n).collect(), ..SignalR::default() };
    World {
        signalr: (0..services).map(signalr).collect(),
        sites: (0..services).flat_map(of).map(site).collect(),
        ..World::default()
    }
}
