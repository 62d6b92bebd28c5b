//! A stream for lines that nobody has to wait for.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many lines may wait for a reader. A run over a hundred services writes some thousands within seconds, and a line
/// has a few hundred bytes: a megabyte or two, in the worst case only: the standard library's channel takes
/// the room for all of them at once.
const MOST_WAITING: usize = 8192;

/// How long the end of the process waits for what is still to be written, and how often it tries to say so.
const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(5);

/// Writes lines in their order, on a thread of its own. Whoever writes never waits: a reader that has stopped reading costs
/// lines, which are counted and told as soon as it reads again, and not the work that they tell of.
#[derive(Clone)]
pub(super) struct Outlet {
    queue: Sender<Entry>,
    lost: Arc<AtomicU64>,
}

enum Entry {
    Line(Vec<u8>),
    /// Says that all before it is written.
    Mark(SyncSender<()>),
}

impl Outlet {
    /// Begins to write to a stream; `lost` makes the line that says how many lines could not be written.
    pub(super) fn open(
        stream: impl Write + Send + 'static,
        lost: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> io::Result<Self> {
        Self::with_room(MOST_WAITING, stream, lost)
    }

    fn with_room(
        room: usize,
        stream: impl Write + Send + 'static,
        tell: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, entries) = channel(room);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        thread::Builder::new().name("log".into()).spawn(move || drain(entries, stream, &count, tell))?;
        Ok(Self { queue, lost })
    }

    pub(super) fn put(&self, line: Vec<u8>) {
        if self.queue.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written, as long as somebody reads.
    pub(super) fn flush(&self) {
        let (mark, marked) = sync_channel(1);
        let mut entry = Entry::Mark(mark);
        for _ in 0..PATIENCE.as_millis() / EVERY.as_millis() {
            match self.queue.try_send(entry) {
                Ok(()) => {
                    let _ = marked.recv_timeout(PATIENCE);
                    return;
                }
                Err(TrySendError::Full(again)) => entry = again,
                Err(TrySendError::Closed(_)) => return,
            }
            thread::sleep(EVERY);
        }
    }
}

/// A log that cannot be written is no reason to stop rotating keys: errors of the stream are passed over.
fn drain(
    mut entries: Receiver<Entry>,
    mut stream: impl Write,
    lost: &AtomicU64,
    tell: impl Fn(u64) -> Vec<u8>,
) {
    while let Some(entry) = entries.blocking_recv() {
        let mark = match entry {
            Entry::Line(line) => {
                let _ = stream.write_all(&line);
                None
            }
            Entry::Mark(mark) => Some(mark),
        };
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            let _ = stream.write_all(&tell(lines));
        }
        let _ = stream.flush();
        if let Some(mark) = mark {
            let _ = mark.send(());
        }
    }
}

/// For what writes lines itself, each in one piece.
impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, channel};

    use super::*;

    /// A pipe whose reader takes one line for each word that it is given.
    struct Pipe {
        reader: mpsc::Receiver<()>,
        read: mpsc::Sender<String>,
    }

    impl Write for Pipe {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.reader.recv().map_err(io::Error::other)?;
            self.read.send(String::from_utf8(line.to_vec()).unwrap()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_lost_is_told() {
        let ((go, reader), (read, lines)) = (channel(), channel());
        let outlet =
            Outlet::with_room(4, Pipe { reader, read }, |lost| format!("{lost} lost").into_bytes()).unwrap();
        // Nobody reads, and still every line is taken at once: at least four wait, and one may be under way.
        (0..100).for_each(|number| outlet.put(format!("{number}").into_bytes()));
        (0..200).for_each(|_| go.send(()).unwrap());
        outlet.put(b"after".to_vec());
        outlet.flush();
        let lines: Vec<String> = lines.try_iter().collect();
        let told: u64 = lines.iter().filter_map(|line| line.strip_suffix(" lost")?.parse::<u64>().ok()).sum();
        let numbers: Vec<u64> = lines.iter().filter_map(|line| line.parse().ok()).collect();
        assert!(numbers.is_sorted() && numbers.starts_with(&[0, 1, 2, 3]), "{lines:?}");
        assert!((90..=97).contains(&told), "{lines:?}");
        let after = u64::from(lines.iter().any(|line| line == "after"));
        assert_eq!(told + numbers.len() as u64 + after, 101, "each line is written or counted: {lines:?}");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_for_ever() {
        let ((_go, reader), (read, _lines)) = (channel(), channel());
        let outlet = Outlet::with_room(1, Pipe { reader, read }, |_| vec![]).unwrap();
        (0..10).for_each(|_| outlet.put(b"x".to_vec()));
        outlet.flush();
    }
}
