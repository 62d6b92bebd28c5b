//! Reading a body, chunked or not, as far as it may go.

use axum::body::Body;
use axum::http::StatusCode;
use futures::StreamExt;

/// The largest body that is read. Event Grid's limit for a delivery is the same (docs: Event Grid quotas and limits).
const LIMIT: usize = 1 << 20;

/// How much of a body beyond the limit is read and thrown away: a sender that is cut off in the middle may take a broken
/// connection for our answer and never read why.
const PATIENCE: usize = 16 << 20;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    #[error("the body is larger than 1 MiB")]
    TooLarge,
    #[error("the body broke off before its end")]
    Broken,
}

impl Unread {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

pub(super) async fn read(body: Body) -> Result<Vec<u8>, Unread> {
    let mut chunks = body.into_data_stream();
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        length += chunk.len();
        if length <= LIMIT {
            kept.extend_from_slice(&chunk);
        } else if length > PATIENCE {
            break;
        }
    }
    if length <= LIMIT { Ok(kept) } else { Err(Unread::TooLarge) }
}
