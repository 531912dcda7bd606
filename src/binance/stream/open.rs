//! Opening a stream, and what it means if something else answers.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, Response};
use reqwest::Url;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::{MESSAGE_BYTES_MAX, OPEN_TIMEOUT, StreamError, WRITE_BYTES_MAX};
use crate::error_chain;
use crate::net::Network;
use crate::net::dial::Connection;
use crate::text::Excerpt;

pub(super) async fn open(
    url: &str,
    network: &Network,
) -> Result<WebSocketStream<MaybeTlsStream<Connection>>, StreamError> {
    let fail = |why: String| StreamError::Open { place: format!("{url:.200}"), why };
    let parsed = Url::parse(url).map_err(|error| fail(error.to_string()))?;
    let place = format!("{url:.200}{}", network.via(&parsed));
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX);
    let opening = async {
        let connection = network.connect(&parsed).await.map_err(|error| fail(error_chain(&error)))?;
        let tls = Connector::Rustls(network.tls());
        let opened = client_async_tls_with_config(url, connection, Some(config), Some(tls)).await;
        opened.map(|(socket, _)| socket).map_err(|error| refused(&place, error))
    };
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(StreamError::OpenTimeout { place }),
    }
}

fn refused(place: &str, error: WsError) -> StreamError {
    let place = place.to_owned();
    let answer = match error {
        WsError::Http(answer) => answer,
        WsError::Io(error) => return StreamError::Open { place, why: error_chain(&error) },
        error => return StreamError::Open { place, why: error.to_string() },
    };
    let (status, said) = (answer.status().as_u16(), Excerpt::of_bytes(answer.body().as_deref().unwrap_or_default()));
    let header = |name: HeaderName| excerpt(&answer, name);
    let said = match status {
        403 | 451 => return StreamError::NotFromHere { place, status, said },
        300..=399 => format!("it points to {}: give where the stream is with --stream-url", header(LOCATION)),
        200..=299 => format!(
            "its answer is {}, perhaps the login page of this network: open it in a browser, or see --stream-url",
            header(CONTENT_TYPE)
        ),
        _ => format!("see --stream-url: {said}"),
    };
    StreamError::NotAStream { place, status, said }
}

fn excerpt(answer: &Response<Option<Vec<u8>>>, name: HeaderName) -> Excerpt {
    answer
        .headers()
        .get(name)
        .map_or_else(|| Excerpt::of("nothing in particular"), |value| Excerpt::of_bytes(value.as_bytes()))
}
