//! Answers of a bounded size: nobody out there decides how much memory we take (P6).

use bytes::BytesMut;
use reqwest::Response;
use thiserror::Error;

/// Bytes that are read of an answer that only says no.
pub const REFUSAL_BYTES_MAX: usize = 16 << 10;

/// Why an answer could not be read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It broke off.
    #[error("the answer broke off")]
    Broken(#[source] reqwest::Error),
    /// It is longer than it may be.
    #[error("the answer has more than {limit} bytes")]
    TooLong {
        /// How long it may be.
        limit: usize,
    },
}

/// All of `response`, of at most `limit` bytes.
///
/// # Errors
///
/// [`BodyError`] if it is longer, or breaks off.
///
/// # Cancel safety
///
/// Dropped before it ends, the answer is lost and its connection is closed.
pub async fn read_whole(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::Broken(error.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// The begin of `response`, as text: what is behind the first [`REFUSAL_BYTES_MAX`] bytes is not read, and
/// what breaks off is as long as it came.
///
/// # Cancel safety
///
/// As [`read_whole`].
pub async fn read_begin(mut response: Response) -> String {
    let mut body = BytesMut::new();
    while body.len() < REFUSAL_BYTES_MAX {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES_MAX - body.len())]);
    }
    String::from_utf8_lossy(&body).into_owned()
}
