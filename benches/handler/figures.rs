//! The measurements.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Connection, PING, unrelated_notice};
use super::server::{Server, Side};
use super::table::Figure;

/// How much is measured.
pub(crate) struct Effort {
    /// Pairs of starts.
    starts: usize,
    /// Pairs of rounds of notices, and the notices of each connection in a round.
    rounds: usize,
    notices: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self { starts: 40, rounds: 30, notices: 400 };
    pub(crate) const QUICK: Self = Self { starts: 1, rounds: 1, notices: 5 };
}

/// How many connections the host keeps while Event Grid delivers in parallel.
const CONNECTIONS: usize = 8;

/// How long after its last request a process counts as idle.
const IDLE: Duration = Duration::from_millis(300);

/// What was measured of the two sides, pair by pair.
#[derive(Default)]
struct Pairs {
    ours: Vec<f64>,
    bare: Vec<f64>,
}

/// What was found: the figures, and what is to be said about them.
pub(crate) struct Findings {
    pub(crate) figures: Vec<Figure>,
    pub(crate) note: String,
}

pub(crate) fn all(effort: &Effort) -> io::Result<Findings> {
    let mut figures = vec![cold_start(effort)?];
    let servers = Servers::start()?;
    let idle = servers.memory("VmRSS");
    figures.push(throughput(effort, &servers)?);
    let busy = servers.memory("VmRSS");
    figures.extend(idle.map(|idle| memory("resident memory, idle", idle)));
    figures.extend(busy.map(|busy| memory("resident memory, idle after the notices", busy)));
    Ok(Findings { figures, note: note(&servers) })
}

/// Memory that is a process's own is what it costs. The rest of the resident memory is pages of the executable and of
/// libraries, which the system maps around every one that is touched, shares, and takes back when it needs them.
fn note(servers: &Servers) -> String {
    match servers.memory("RssAnon") {
        Some((ours, bare)) => format!(
            "of the memory after the notices {ours:.2} MiB is the handler's own and {bare:.2} MiB the bare server's; \
             the rest is mapped from their files"
        ),
        None => "memory is measured on Linux only".to_owned(),
    }
}

fn cold_start(effort: &Effort) -> io::Result<Figure> {
    let milliseconds = |side| Ok(Server::start(side)?.1.as_secs_f64() * 1e3);
    // The first start of each reads its executable from disk.
    milliseconds(Side::Ours)?;
    milliseconds(Side::Bare)?;
    let pairs = Pairs::measure(effort.starts, milliseconds)?;
    Ok(pairs.figure("cold start to the first answered ping", "ms", Goal::AtMost(1.3)))
}

fn throughput(effort: &Effort, servers: &Servers) -> io::Result<Figure> {
    let notice = unrelated_notice();
    let per_second = |side| {
        let taken = round(servers.port(side), &notice, effort.notices)?;
        Ok((CONNECTIONS * effort.notices) as f64 / taken.as_secs_f64() / 1e3)
    };
    per_second(Side::Ours)?;
    per_second(Side::Bare)?;
    let pairs = Pairs::measure(effort.rounds, per_second)?;
    Ok(pairs.figure("ignored notices", "k/s", Goal::AtLeast(0.7)))
}

/// Sends so many notices on each of several connections; how long it takes until the last is answered.
fn round(port: u16, notice: &[u8], notices: usize) -> io::Result<Duration> {
    let open = |_| Connection::open(port);
    let mut connections = (0..CONNECTIONS).map(open).collect::<io::Result<Vec<_>>>()?;
    let start = Instant::now();
    thread::scope(|scope| {
        let ask = |connection: &mut Connection| (0..notices).try_for_each(|_| connection.ask(notice));
        let threads: Vec<_> =
            connections.iter_mut().map(|connection| scope.spawn(move || ask(connection))).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(lost())));
        ended.collect::<io::Result<()>>()
    })?;
    Ok(start.elapsed())
}

fn lost() -> io::Error {
    io::Error::other("a connection's thread panicked")
}

/// Both sides, at work at the same time.
struct Servers {
    ours: Server,
    bare: Server,
}

impl Servers {
    fn start() -> io::Result<Self> {
        let start = |side| {
            let (server, _) = Server::start(side)?;
            let mut connection = Connection::open(server.port)?;
            (0..10).try_for_each(|_| connection.ask(PING))?;
            Ok::<_, io::Error>(server)
        };
        Ok(Self { ours: start(Side::Ours)?, bare: start(Side::Bare)? })
    }

    fn port(&self, side: Side) -> u16 {
        match side {
            Side::Ours => self.ours.port,
            Side::Bare => self.bare.port,
        }
    }

    /// A figure of the memory of both sides, once they have nothing to do; nothing where there is no `/proc`.
    fn memory(&self, figure: &str) -> Option<(f64, f64)> {
        thread::sleep(IDLE);
        Some((self.ours.memory(figure)?, self.bare.memory(figure)?))
    }
}

fn memory(name: &str, (ours, bare): (f64, f64)) -> Figure {
    Pairs { ours: vec![ours], bare: vec![bare] }.figure(name, "MiB", Goal::AtMost(1.5))
}

/// What the ratio should be.
#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Pairs {
    /// Measures both sides by turns, each as often the first of its pair as the second.
    fn measure(pairs: usize, measure: impl Fn(Side) -> io::Result<f64>) -> io::Result<Self> {
        let mut measured = Self::default();
        for pair in 0..pairs {
            let order = if pair % 2 == 0 { [Side::Ours, Side::Bare] } else { [Side::Bare, Side::Ours] };
            for side in order {
                let of_side = match side {
                    Side::Ours => &mut measured.ours,
                    Side::Bare => &mut measured.bare,
                };
                of_side.push(measure(side)?);
            }
        }
        Ok(measured)
    }

    /// The median of the ratios, which is steadier than the ratio of the medians.
    fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.bare).map(|(ours, bare)| ours / bare))
    }

    fn figure(&self, name: &str, unit: &str, goal: Goal) -> Figure {
        let [ours, floor] =
            [&self.ours, &self.bare].map(|side| format!("{:.2} {unit}", median(side.iter().copied())));
        let ratio = self.ratio();
        let (goal, reached) = match goal {
            Goal::AtMost(goal) => (format!("<= {goal:.1}x"), ratio <= goal),
            Goal::AtLeast(goal) => (format!(">= {goal:.1}x"), ratio >= goal),
        };
        Figure { name: name.to_owned(), ours, floor, ratio, goal, reached }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
