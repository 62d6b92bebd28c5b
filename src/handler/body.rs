//! Reading a body, chunked or not, as far as it may go, and as long as it may take.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The largest body that is read: four times the largest event (1 MB; docs: Event Grid quotas and limits). The host sends
/// an event whole, in `Data`, and its data once more, in `Metadata`; data that is a text is encoded there a second time,
/// by which each quotation mark, two characters of the event, becomes four.
const LIMIT: usize = 4 << 20;

/// How much of a body beyond the limit is read and thrown away: a sender that is cut off in the middle may take a broken
/// connection for our answer and never read why.
const PATIENCE: usize = 16 << 20;

/// The memory that all bodies together may take, in KiB: 32 of the largest, which no event of ours is, and tens of
/// thousands of usual ones, of four kilobytes each.
const ROOM: usize = 128 << 10;

/// The memory for bodies, a permit for each KiB of it.
pub(super) fn room() -> Semaphore {
    Semaphore::new(ROOM)
}

/// A body, and the memory that it takes.
pub(super) struct Held<'room> {
    pub(super) bytes: Vec<u8>,
    _room: SemaphorePermit<'room>,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    TooLarge,
    Broken,
    Late(Duration),
    NoRoom,
}

impl Unread {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Late(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Reads a body that comes within `patience`.
pub(super) async fn read(body: Body, room: &Semaphore, patience: Duration) -> Result<Held<'_>, Unread> {
    tokio::time::timeout(patience, whole(body, room)).await.map_err(|_| Unread::Late(patience))?
}

async fn whole(body: Body, room: &Semaphore) -> Result<Held<'_>, Unread> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    let mut taken = take(room, 0)?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        length += chunk.len();
        if length <= LIMIT {
            let lacking = length.div_ceil(1 << 10).saturating_sub(taken.num_permits());
            taken.merge(take(room, lacking)?);
            bytes.extend_from_slice(&chunk);
        } else if length > PATIENCE {
            break;
        }
    }
    if length <= LIMIT { Ok(Held { bytes, _room: taken }) } else { Err(Unread::TooLarge) }
}

fn take(room: &Semaphore, kib: usize) -> Result<SemaphorePermit<'_>, Unread> {
    let kib = u32::try_from(kib).map_err(|_| Unread::NoRoom)?;
    room.try_acquire_many(kib).map_err(|_| Unread::NoRoom)
}
